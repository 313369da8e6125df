import { spawnSync } from 'node:child_process';

/** The user `nobody`, who owns nothing here. */
export const USER = 65534;

/**
 * Runs a function as an ordinary user, in a process of its own; only what it is given and what it imports is there for it.
 * @param args what the function gets, as JSON
 * @returns what it returns, by way of JSON
 */
export function asUser<A, R>(action: (args: A, modules: Modules) => R, args: A): R {
  const urls = MODULES.map((name) => import.meta.resolve(name));
  const code = `
    const loaded = await Promise.all(${JSON.stringify(urls)}.map((url) => import(url)));
    const result = (${action.toString()})(${JSON.stringify(args)}, Object.assign({}, ...loaded));
    process.stdout.write(JSON.stringify(result ?? null));
  `;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: '/',
    uid: USER,
    gid: USER,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as R;
}

const MODULES = [
  '#src/files/tree/copying/copy-layers.js',
  '#src/files/tree/copying/copy-share.js',
  '#src/files/tree/removal/remove-tree.js',
  '#src/files/tree/measure-tree.js',
  '#src/system/syscalls/native-free/native-free-syscalls.js',
  '#src/system/syscalls/load-syscalls.js',
];

export type Modules = typeof import('#src/files/tree/copying/copy-layers.js') &
  typeof import('#src/files/tree/copying/copy-share.js') &
  typeof import('#src/files/tree/removal/remove-tree.js') &
  typeof import('#src/files/tree/measure-tree.js') &
  typeof import('#src/system/syscalls/native-free/native-free-syscalls.js') &
  typeof import('#src/system/syscalls/load-syscalls.js');
