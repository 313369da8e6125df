#!/usr/bin/env node
// Runs on other releases of Node.js, side by side: the tests that need no native module, and the main job with the package as it is installed. better-sqlite3 is
// compiled for the Node.js that runs this; on the others it has no machine code for them, or is not installed, and Node's own SQLite is used, also on a store that
// is open with better-sqlite3.
//
//   node scripts/other-nodes.mjs [RELEASE…]     22 and 24 by default; as npm takes them, such as 22.13.0
//
//   PROVISIONER_TEST_NODES=DIR                  keeps their binaries; by default in the temporary directory
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addMachineCode, install, npm, pack } from './installed-package.mjs';
import { isRoot, repository, run, runMain, runOnTmpfs, secondsSince, tail } from './machine.mjs';
import { setUp } from './set-up.mjs';

const RELEASES = ['22', '24'];
/** Where most of what is used of Node.js is used: its SQLite, threads, streams, zlib, and modules. All of them take some minutes. */
const TESTS = ['metadata', 'workers', 'whole', 'system', 'store-directory'].map((name) => `native-free-tests/${name}`);
const NODES = process.env['PROVISIONER_TEST_NODES'] ?? join(tmpdir(), 'provisioner-test-nodes');

async function main() {
  await setUp();
  const releases = process.argv.length > 2 ? process.argv.slice(2) : RELEASES;
  const place = mkdtempSync(join(tmpdir(), 'provisioner-other-nodes-'));
  try {
    const { tarball } = await pack(place);
    const installed = join(place, 'installed');
    await install(tarball, installed);
    addMachineCode(installed);
    const lacking = join(place, 'lacking');
    cpSync(installed, lacking, { recursive: true, verbatimSymlinks: true });
    rmSync(join(lacking, 'node_modules/better-sqlite3'), { recursive: true });
    const outcomes = await Promise.all(releases.map((release) => tryOut(release, { installed, lacking })));
    return outcomes.every(Boolean) ? 0 : 1;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** @param {string} release @param {{ installed: string, lacking: string }} projects @returns {Promise<boolean>} whether all went well */
async function tryOut(release, { installed, lacking }) {
  const node = await nodeOf(release);
  const shortRun = (/** @type {string[]} */ ...args) => [node, join(repository, 'scripts/short-run.mjs'), ...args];
  const beside = shortRun(installed, 'node:sqlite', installed, process.execPath);
  const alone = shortRun(lacking, 'node:sqlite');
  const vitest = join(repository, 'node_modules/vitest/vitest.mjs');
  const tests = [node, vitest, 'run', '--configLoader=runner', '--project', 'native-free', ...TESTS];
  const name = `Node.js ${release}`;
  return (
    (await isFine(`${name}: a store shared with better-sqlite3 on Node.js ${process.versions.node}`, beside)) &&
    (await isFine(`${name}: a store without better-sqlite3`, alone)) &&
    (await isFine(`${name}: tests without native modules`, tests))
  );
}

/** @param {string} title @param {readonly string[]} command */
async function isFine(title, command) {
  const start = performance.now();
  const [program = '', ...args] = command;
  const { code, output } = await (isRoot ? runOnTmpfs(command, { quiet: true }) : run(program, args, { quiet: true }));
  console.log(
    `${code === 0 ? '' : `${tail(output)}\n`}${title}: ${code === 0 ? 'fine' : 'failed'}, ${secondsSince(start)}`,
  );
  return code === 0;
}

/** Installs its binary when it is not there. @param {string} release @returns its path */
async function nodeOf(release) {
  const directory = join(NODES, release);
  // The npm package `node` has a script that installs this one, and npm may run no scripts.
  const name = `node-${process.platform}-${process.arch}`;
  const node = join(directory, 'node_modules', name, 'bin/node');
  if (!existsSync(node)) {
    mkdirSync(directory, { recursive: true });
    await npm(
      ['install', '--ignore-scripts', '--prefix', directory, '--no-audit', '--no-fund', `${name}@${release}`],
      directory,
    );
  }
  return node;
}

await runMain(main);
