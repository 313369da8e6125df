// A directory with very many names, as a container may leave one behind: the processor time to measure and to remove it, against du and rm -rf, and by how much the memory grows.
// Goals: 64 MB at most, whatever is in it; removing at most 1.2 × rm -rf.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { measureTree } from '../build/files/tree/measure-tree.js';
import { removeTree } from '../build/files/tree/removal/remove-tree.js';
import { loadSyscalls } from '../build/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../build/system/syscalls/load-tree-calls.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

export async function run(options) {
  const { names, runs } = parseOptions(options, { names: '1200000', runs: '3' });
  const tree = join(scratchDirectory('wide'), 'tree');
  console.log(`${describeMachine()}\n${names} names of 207 bytes in one directory\n`);
  const contenders = {
    'measure: provisioner': () => ours(() => measureTree(tree)),
    'measure: du': () => theirs('du', '-s', tree),
    'remove: provisioner': () => ours(() => removeTree(tree)),
    'remove: rm -rf': () => theirs('rm', '-rf', tree),
  };
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  // What is loaded and compiled for any directory.
  make(tree, 1000);
  measureTree(tree);
  removeTree(tree);
  const idle = peak();
  for (let run = 0; run < Number(runs); run++) {
    for (const [name, work] of Object.entries(contenders)) {
      if (!existsSync(tree)) makeElsewhere(tree, Number(names));
      times[name].push(work());
    }
  }
  const rows = Object.entries(times).map(([name, seconds]) => {
    const reference = times[name.startsWith('measure') ? 'measure: du' : 'remove: rm -rf'];
    const spread = `${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)}`;
    return [
      name,
      quantile(seconds, 0.5).toFixed(2),
      spread,
      (quantile(seconds, 0.5) / quantile(reference, 0.5)).toFixed(2),
    ];
  });
  printTable(['', 'median processor s', 'spread', '× theirs'], rows);
  console.log(`\nmemory grew by ${((peak() - idle) / 1e6).toFixed(1)} MB`);
}

/** In another process: its memory is not what is measured. */
function makeElsewhere(path, count) {
  const program = `import(${JSON.stringify(import.meta.url)}).then((it) => it.make(${JSON.stringify(path)}, ${count}))`;
  spawnSync(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' });
}

export function make(path, count) {
  mkdirSync(path, { recursive: true });
  const directory = loadTreeCalls(loadSyscalls()).openDirectory(path);
  for (let index = 0; index < count; index++) {
    closeSync(directory.createFile(`${String(index).padStart(7, '0')}${'n'.repeat(200)}`, 0o600));
  }
  directory.close();
}

/** @returns seconds of processor time */
function ours(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function theirs(command, ...args) {
  const script = 'TIMEFORMAT="%U %S"; time "$@" > /dev/null';
  const { stderr } = spawnSync('bash', ['-c', script, 'bash', command, ...args], { encoding: 'utf8' });
  const [user, system] = stderr.trim().split(' ').map(Number);
  return user + system;
}

/** The most memory that the process has had so far, in bytes. @see proc(5), /proc/pid/status */
function peak() {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}
