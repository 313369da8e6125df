// @ts-check
/* What a file tree is, as text to compare: every entry with all that a faithful store must keep. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { layerContents } from '#src/paths.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';

/**
 * One line for each entry, by its path; `.` is the tree itself. The modification time stands last, so that it can be left out.
 * @typedef {Map<string, string>} Tree
 */

/**
 * A whole layer directory, but for what its record of contents says: that tells the times of directories which no archive speaks of, so two clean
 * pulls differ in it. What it records is here, and is compared.
 * @param {string} directory @returns {Tree}
 */
export function readLayer(directory) {
  const tree = readTree(directory);
  tree.delete(`./${basename(layerContents(directory))}`);
  return tree;
}

/** @param {string} root @returns {Tree} */
export function readTree(root) {
  /** @type {Tree} */
  const tree = new Map();
  /** @type {Map<bigint, string>} */
  const firstNames = new Map();
  const pending = ['.'];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const full = `${root}/${path}`;
    const status = lstatSync(full, { bigint: true });
    const first = firstNames.get(status.ino) ?? path;
    if (!status.isDirectory() && status.nlink > 1n) firstNames.set(status.ino, first);
    const { mode, uid, gid, rdev, mtimeNs } = status;
    const what = [
      mode.toString(8),
      uid,
      gid,
      rdev,
      xattrs(full),
      first === path ? contents(full, status) : `is ${first}`,
    ];
    tree.set(path, [...what, `mtime ${mtimeNs}`].join(' '));
    // From the last name to the first, so that entries come in the order of their names, and hard links get the same first name everywhere.
    if (status.isDirectory()) for (const name of readdirSync(full).sort().reverse()) pending.push(`${path}/${name}`);
  }
  return tree;
}

/** @param {string} path @param {import('node:fs').BigIntStats} status */
function contents(path, status) {
  if (status.isSymbolicLink()) return `to ${readlinkSync(path)}`;
  if (!status.isFile()) return '';
  return `${status.size} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
}

/** @param {string} path */
function xattrs(path) {
  const calls = loadSyscalls();
  // What overlayfs notes on its own upper directories is no business of the image's.
  const names = calls
    .listXattrs(path)
    .filter((name) => !/^(?:trusted|user)\.overlay\.(?:origin|impure|uuid)$/.test(name));
  return `[${names.sort().map((name) => `${name}=${calls.getXattr(path, name)?.toString('hex')}`)}]`;
}

/**
 * What two trees that ought to be the same agree on: where only the time differs, it is nobody's promise.
 * @param {Tree} one @param {Tree} other @returns {Tree}
 */
export function agreement(one, other) {
  /** @type {Tree} */
  const agreed = new Map();
  for (const [path, line] of one) agreed.set(path, line === other.get(path) ? line : timeless(line));
  return agreed;
}

/**
 * @param {Tree} expected where a line has no time, any time will do
 * @param {Tree} actual
 * @param {(path: string) => boolean} [ignored]
 * @returns {string[]} what is not the same
 */
export function differences(expected, actual, ignored = () => false) {
  const found = [];
  for (const path of new Set([...expected.keys(), ...actual.keys()])) {
    if (ignored(path)) continue;
    const [should, is] = [expected.get(path), actual.get(path)];
    if (should === undefined) found.push(`${path}: should not be there`);
    else if (is === undefined) found.push(`${path}: is missing`);
    else if (should !== is && should !== timeless(is)) found.push(`${path}: is ${is}, should be ${should}`);
  }
  return found;
}

/** @param {string} line */
export function timeless(line) {
  return line.replace(/ mtime \d+$/, '');
}
