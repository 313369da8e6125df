#!/usr/bin/env node
// Does whatever is missing between a fresh clone and something that runs: dependencies, then the build. Says one line for each thing it
// did, and nothing when there was nothing to do. `npm test` and `npm run demo` begin with it.
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  installDebianPackages,
  isDebian,
  isRoot,
  repository,
  run,
  runMain,
  secondsSince,
  Told,
  tail,
} from './machine.mjs';

const NPM = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Written by npm when an installation is complete. */
const INSTALLED = join(repository, 'node_modules', '.package-lock.json');
const BUILT = join(repository, 'dist', 'index.js');
const BUILT_FROM = ['src', 'scripts/bundle.mjs', 'tsconfig.json', 'tsconfig.build.json'];

/** @throws Told when something could not be done */
export async function setUp() {
  checkNode();
  if (changedAt(INSTALLED) < changedAt(join(repository, 'package-lock.json'))) await installDependencies();
  const newest = Math.max(changedAt(INSTALLED), ...BUILT_FROM.map((path) => newestBelow(join(repository, path))));
  if (changedAt(BUILT) < newest) await build();
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Told(`Node.js 20.19 or newer is needed, this is ${process.versions.node}`);
}

async function installDependencies() {
  const done = announce('installing the dependencies; a minute or two where better-sqlite3 has to be compiled');
  let outcome = await install();
  // better-sqlite3 is compiled where no ready-made binary can be had, and a fresh machine has no compiler.
  if (outcome.code !== 0 && /better-sqlite3|node-gyp|gyp ERR/.test(outcome.output)) {
    if (!isDebian || !isRoot) {
      throw new Told(
        `\n${tail(outcome.output)}\n\nnpm could not install better-sqlite3. It has to be compiled here, which needs python3, make and a C++ compiler; ` +
          'on Debian, `scripts/install-debian-packages.sh build` installs them when run as root.',
      );
    }
    console.log();
    if (await installDebianPackages('build')) outcome = await install();
  }
  if (outcome.code !== 0) throw new Told(`\n${tail(outcome.output)}\n\n\`npm ci\` failed`);
  done();
}

function install() {
  // Node's own headers, where they lie beside it, are the right ones and need no download.
  const prefix = dirname(dirname(process.execPath));
  const hasHeaders = existsSync(join(prefix, 'include', 'node', 'node.h'));
  return run(NPM, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    quiet: true,
    // node-gyp compiles one file at a time when it is not told otherwise.
    env: { JOBS: 'max', ...(hasHeaders ? { npm_config_nodedir: prefix } : {}) },
  });
}

async function build() {
  const done = announce('building dist/');
  const { code, output } = await run(NPM, ['run', '--silent', 'build'], { quiet: true });
  if (code !== 0) {
    // The compiler writes its output in spite of errors; dated back, it is not taken for a build next time.
    if (existsSync(BUILT)) utimesSync(BUILT, 0, 0);
    throw new Told(`\n${output}\n\`npm run build\` failed`);
  }
  done();
}

/** One line for one thing: what it is at once, how long it took when it is done. @param {string} text */
function announce(text) {
  const start = performance.now();
  process.stdout.write(`${text} … `);
  return () => console.log(secondsSince(start));
}

/** @param {string} path @returns milliseconds since the epoch; 0 when it is not there */
function changedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Directories count too: they change when a file is removed. @param {string} path @returns {number} */
function newestBelow(path) {
  const below = statSync(path).isDirectory() ? readdirSync(path).map((name) => newestBelow(join(path, name))) : [];
  return Math.max(changedAt(path), ...below);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain(setUp);
