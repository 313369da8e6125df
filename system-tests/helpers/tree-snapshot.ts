import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { nodePath, printablePath, toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';

/** One entry of a tree with all that a copy of it must keep. Only what an entry of its type has is there. */
export interface TreeEntry {
  /** Relative to the root, which is `.`; one character per byte. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character device' | 'block device';
  /** Octal, 12 bits. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: string;
  /** `name=hex`, sorted. */
  readonly xattrs: readonly string[];
  /** Of a file. */
  readonly size?: number;
  readonly sha256?: string;
  /** Of an entry that has other names in the tree: the first of them all. */
  readonly linkedTo?: string;
  /** Of a symlink. */
  readonly target?: string;
  /** Of a device. */
  readonly device?: string;
}

export interface SnapshotOptions {
  /** What not to look at. Default: nothing. */
  readonly without?: readonly (keyof TreeEntry)[];
}

/** All entries of a tree, sorted by path, the root first. Symlinks are not followed. */
export function snapshotTree(root: string, { without = [] }: SnapshotOptions = {}): TreeEntry[] {
  const base = toBytePath(root);
  const firstNames = new Map<string, string>();
  const entries: TreeEntry[] = [];
  for (const path of treePaths(base)) {
    const stats = lstatSync(nodePath(`${base}/${path}`), { bigint: true });
    const entry: TreeEntry = { ...describe(base, path, stats), ...linkOf(path, stats, firstNames) };
    const kept = Object.entries(entry).filter(([key]) => !without.includes(key as keyof TreeEntry));
    entries.push(Object.fromEntries(kept) as unknown as TreeEntry);
  }
  // A first name is told only when there is a second one in the tree: others may lie outside.
  const linked = new Map<string, number>();
  for (const { linkedTo } of entries) if (linkedTo !== undefined) linked.set(linkedTo, (linked.get(linkedTo) ?? 0) + 1);
  return entries.map(({ linkedTo, ...entry }) =>
    linkedTo !== undefined && (linked.get(linkedTo) ?? 0) > 1 ? { ...entry, linkedTo } : entry,
  );
}

/** What is not the same in two trees, one line each, for `expect(...).toEqual([])`. */
export function treeDifferences(expected: readonly TreeEntry[], actual: readonly TreeEntry[]): string[] {
  const before = new Map(expected.map((entry) => [entry.path, entry]));
  const after = new Map(actual.map((entry) => [entry.path, entry]));
  const differences: string[] = [];
  for (const path of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const one = before.get(path);
    const other = after.get(path);
    const name = printablePath(path);
    if (one === undefined) differences.push(`${name}: unexpected ${other?.type}`);
    else if (other === undefined) differences.push(`${name}: missing ${one.type}`);
    else differences.push(...entryDifferences(name, one, other));
  }
  return differences;
}

function entryDifferences(name: string, expected: TreeEntry, actual: TreeEntry): string[] {
  const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]) as Set<keyof TreeEntry>;
  return [...keys]
    .filter((key) => String(expected[key]) !== String(actual[key]))
    .map((key) => `${name}: ${key} is ${show(actual[key])}, expected ${show(expected[key])}`);
}

function show(value: TreeEntry[keyof TreeEntry]): string {
  if (value === undefined) return 'absent';
  return printablePath(Array.isArray(value) ? `[${value.join(' ')}]` : String(value));
}

/** Without recursion: some of the trees are 2000 levels deep. */
function treePaths(base: string): string[] {
  const paths = ['.'];
  const pending = [''];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const entry of readdirSync(nodePath(`${base}/${directory}`), { withFileTypes: true, encoding: 'buffer' })) {
      const name = entry.name.toString('latin1');
      const path = directory === '' ? name : `${directory}/${name}`;
      paths.push(path);
      if (entry.isDirectory()) pending.push(path);
    }
  }
  return paths.sort();
}

function describe(base: string, path: string, stats: BigIntStats): TreeEntry {
  const full = `${base}/${path}`;
  const common = {
    path,
    mode: (stats.mode & 0o7777n).toString(8).padStart(4, '0'),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtime: String(stats.mtimeNs),
    xattrs: xattrsOf(full),
  };
  const device = String(stats.rdev);
  if (stats.isFile()) return { ...common, type: 'file', size: Number(stats.size), sha256: sha256Of(full) };
  if (stats.isDirectory()) return { ...common, type: 'directory' };
  if (stats.isSymbolicLink()) {
    return { ...common, type: 'symlink', target: readlinkSync(nodePath(full), 'buffer').toString('latin1') };
  }
  if (stats.isFIFO()) return { ...common, type: 'fifo' };
  if (stats.isSocket()) return { ...common, type: 'socket' };
  return { ...common, type: stats.isCharacterDevice() ? 'character device' : 'block device', device };
}

function xattrsOf(path: string): string[] {
  const syscalls = loadSyscalls();
  return syscalls
    .listXattrs(path)
    .map((name) => `${name}=${syscalls.getXattr(path, name)?.toString('hex')}`)
    .sort();
}

function linkOf(path: string, stats: BigIntStats, firstNames: Map<string, string>): { linkedTo?: string } {
  if (stats.nlink < 2n || stats.isDirectory()) return {};
  const key = `${stats.dev}:${stats.ino}`;
  const first = firstNames.get(key) ?? path;
  firstNames.set(key, first);
  return { linkedTo: first };
}

/** For all files: one for each of thousands takes longer than reading them. */
const buffer = Buffer.alloc(1024 * 1024);

function sha256Of(path: string): string {
  const hash = createHash('sha256');
  const descriptor = openSync(nodePath(path), 'r');
  try {
    for (let count = readSync(descriptor, buffer); count > 0; count = readSync(descriptor, buffer)) {
      hash.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(descriptor);
  }
  return hash.digest('hex');
}
