import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';

/** Somebody who uses a store. */
export interface StoreUser {
  readonly title: string;
  /** What the directory that the store is made in belongs to. */
  readonly uid: number;
  /** Runs a program of Node as that user, in mount namespaces that end with it. @returns what it printed */
  run(program: string, ...args: string[]): Promise<string>;
}

const NOBODY = 65534;
/** The first of many ids that nobody has. */
const SUBORDINATE = 200_000;
const AS_ROOT = ['setpriv', '--reuid', '0', '--regid', '0', '--clear-groups'];
const AS_NOBODY = ['setpriv', '--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];

export const STORE_USERS: readonly StoreUser[] = [
  { title: 'root', uid: 0, run: (...command) => output(['unshare', '--mount'], command) },
  {
    title: 'root of a user namespace, 65 536 ids',
    uid: SUBORDINATE,
    run: (...command) =>
      output(['unshare', '--user', '--keep-caps', '--mount'], command, `0 ${SUBORDINATE} 65536`, AS_ROOT),
  },
  {
    title: 'root of a user namespace, one id',
    uid: NOBODY,
    run: (...command) => output([...AS_NOBODY, 'unshare', '--user', '--map-root-user', '--mount'], command),
  },
  { title: 'ordinary user', uid: NOBODY, run: (...command) => output(AS_NOBODY, command) },
];

/** @param map the ids of a user namespace that `within` begins, given by root from outside @param then what the program is run by once it has them */
async function output(
  within: readonly string[],
  command: readonly string[],
  map?: string,
  then: readonly string[] = [],
): Promise<string> {
  const gate = map === undefined ? [] : ['sh', '-c', 'echo; read -r go; exec "$@"', 'sh', ...then];
  const [program = '', ...args] = [...within, ...gate, process.execPath, ...command];
  const child = spawn(program, args, { cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] });
  let printed = '';
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  if (map !== undefined) {
    await once(child.stdout, 'data');
    for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${file}`, map);
    child.stdin.write('\n');
  }
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`${program} ended with ${signal ?? code}: ${errors}`);
  return printed.trim();
}
