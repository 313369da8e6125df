#!/usr/bin/env node
// What is published, as its users get it: packed, looked through, installed in an empty project, and used there by `import`, `require`, strict TypeScript and the
// command line; first without the machine code of better-sqlite3, as where no scripts run, then with it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { addMachineCode, install, pack } from './installed-package.mjs';
import { isRoot, repository, run, runMain, runOnTmpfs, Told, tail } from './machine.mjs';
import { setUp } from './set-up.mjs';

const LINK = /\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g;
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\()["'](\.{1,2}\/[^"']+)["']/g;

const USE = `
  if (typeof Provisioner.open !== 'function' || !isProvisionerError(new ProvisionerError('ERR_IO', 'so'))) throw new Error('not the library');
  let store;
  Provisioner.open({ root: process.argv[2] }).then(
    async (provisioner) => {
      store = (await provisioner.store.info()).sqlite;
      await provisioner.close();
    },
    ({ code }) => (store = code),
  ).finally(() => console.log(store));`;
const NAMES = '{ Provisioner, ProvisionerError, isProvisionerError }';
/** Programs, by their files, that say what SQLite they use, or why there is none. */
const PROGRAMS = {
  'import.mjs': `import ${NAMES} from 'provisioner'; ${USE}`,
  'require.cjs': `const ${NAMES} = require('provisioner'); ${USE}`,
};

const TYPED = `
import { isProvisionerError, Provisioner, type ProvisionerOptions, type ErrorCode } from 'provisioner';

const options: ProvisionerOptions = { root: '/store', records: 'memory' };
export async function provision(image: string): Promise<string | ErrorCode> {
  await using provisioner = await Provisioner.open(options);
  provisioner.events.on('layerProgress', ({ phase }) => console.log(phase.toUpperCase()));
  try {
    const { rootfs, runtime } = await provisioner.provision('job', image);
    const cmd: readonly string[] = runtime.cmd;
    // @ts-expect-error: it is a text
    const wrong: number = rootfs;
    return [rootfs, ...cmd, wrong].join(' ');
  } catch (error) {
    if (isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) return error.code;
    throw error;
  }
}
`;
const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  target: 'ES2022',
  lib: ['ES2023', 'ESNext.Disposable'],
  types: ['node'],
  noEmit: true,
};

async function main() {
  await setUp();
  const place = mkdtempSync(join(tmpdir(), 'provisioner-package-'));
  try {
    const { tarball, files } = await pack(place);
    const project = join(place, 'project');
    await install(tarball, project);
    const faults = faultsOf(join(project, 'node_modules/provisioner'), new Set(files));
    if (faults.length > 0) throw new Told(faults.join('\n'));
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    const bringsSqlite = major > 22 || (major === 22 && minor >= 13);
    await useIt(project, bringsSqlite ? 'node:sqlite' : 'ERR_NATIVE_MISSING');
    addMachineCode(project);
    await useIt(project, 'better-sqlite3');
    await compile(project);
    const shortRun = [process.execPath, join(repository, 'scripts/short-run.mjs'), project, 'better-sqlite3'];
    told(await (isRoot ? runOnTmpfs(shortRun, { quiet: true }) : run(...split(shortRun), { quiet: true })));
    console.log(
      `${files.length} files are published; they are whole, and can be imported, required, compiled against, and run`,
    );
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** @param {string} root of the installed package @param {ReadonlySet<string>} files in it @returns what leads nowhere */
function faultsOf(root, files) {
  const faults = [...files]
    .filter((file) => file.endsWith('.map'))
    .map((file) => `${file}: a map of sources that are not in the package`);
  for (const file of files) {
    const pattern = file.endsWith('.md') ? LINK : /\.[cm]?[jt]s$/.test(file) ? IMPORT : undefined;
    if (pattern === undefined) continue;
    const text = readFileSync(join(root, file), 'utf8');
    if (/^\/\/# sourceMappingURL=/m.test(text)) faults.push(`${file}: names a map`);
    for (const [, target = ''] of text.matchAll(pattern)) {
      if (/^[a-z]+:/.test(target)) continue;
      const path = posix.join(posix.dirname(file), target);
      const found = [path, path.replace(/\.js$/, '.d.ts')].some((at) => files.has(at) || existsSync(join(root, at)));
      if (!found || path.startsWith('..')) faults.push(`${file}: ${target} leads to what is not in the package`);
    }
  }
  return faults;
}

/** @param {string} project @param {string} expected what its programs say */
async function useIt(project, expected) {
  for (const [name, program] of Object.entries(PROGRAMS)) {
    writeFileSync(join(project, name), program);
    const { output } = await run(process.execPath, [name, join(project, 'store')], { quiet: true, directory: project });
    assert.equal(output, `${expected}\n`, name);
  }
  const bin = join(project, 'node_modules/.bin/provisioner');
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  assert.equal(told(await run(bin, ['--version'], { quiet: true, directory: project })), `${version}\n`);
}

/** Under each way to find modules, as a module and, for `require`, as a script. @param {string} project */
async function compile(project) {
  for (const name of ['typescript', '@types/node']) {
    mkdirSync(dirname(join(project, 'node_modules', name)), { recursive: true });
    symlinkSync(join(repository, 'node_modules', name), join(project, 'node_modules', name));
  }
  for (const file of ['typed.ts', 'required.cts']) writeFileSync(join(project, file), TYPED);
  const kinds = [
    { module: 'nodenext', moduleResolution: 'nodenext', files: ['typed.ts', 'required.cts'] },
    { module: 'esnext', moduleResolution: 'bundler', files: ['typed.ts'] },
  ];
  for (const { files, ...options } of kinds) {
    const config = join(project, `tsconfig.${options.moduleResolution}.json`);
    writeFileSync(config, JSON.stringify({ compilerOptions: { ...STRICT, ...options }, files }));
    const tsc = join(project, 'node_modules/typescript/bin/tsc');
    told(await run(process.execPath, [tsc, '-p', config], { quiet: true, directory: project }));
  }
}

/** @param {{ code: number, output: string }} outcome @returns {string} what was printed @throws Told */
function told({ code, output }) {
  if (code !== 0) throw new Told(tail(output));
  return output;
}

/** @param {readonly string[]} command @returns {[string, readonly string[]]} */
function split([program = '', ...rest]) {
  return [program, rest];
}

await runMain(main);
