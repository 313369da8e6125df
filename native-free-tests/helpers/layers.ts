import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { DEFAULT_UNPACK_LIMITS, type UnpackLimits } from '#src/base/config.js';
import { isProvisionerError, type ProvisionerError } from '#src/base/errors.js';
import { rebuildTar } from '#src/files/tar-record/rebuild-tar.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import type { Syscalls } from '#src/system/syscalls/syscalls.js';
import type { TarEntry } from '#src/system/tar/tar-entry.js';
import { TarReader } from '#src/system/tar/tar-reader.js';
import { readStacking, type Stacking } from '#src/unpack/stacking.js';
import { type UnpackedLayer, type UnpackRequest, unpackLayer } from '#src/unpack/unpack-layer.js';
import { sha256 } from './image-builder.js';

export interface UnpackOptions extends Partial<Pick<UnpackRequest, 'digest' | 'diffId' | 'format' | 'privileged'>> {
  /** What stands in the file, when it is not the tar itself. */
  readonly blob?: Uint8Array;
  /** Those that differ from the default. The reserve of free space is none, unless said. */
  readonly limits?: Partial<UnpackLimits>;
  readonly syscalls?: Syscalls;
  readonly signal?: AbortSignal;
  readonly progress?: (bytes: number) => void;
}

export interface Unpacked extends UnpackedLayer {
  readonly rootfs: string;
  readonly stacking: Stacking;
  /** Path (one character per byte) to what is there: see `describeTree`. */
  readonly tree: Readonly<Record<string, string>>;
}

export interface Layers {
  /** A directory of the test's own, in which layers and the canaries lie. */
  readonly path: string;
  /** Files next to the layers, at `../../outside` from the root of each. Every test ends with a check that they are as they were. */
  readonly outside: string;
  unpack(tar: Uint8Array, options?: UnpackOptions): Promise<Unpacked>;
  /** The error of our own that unpacking must end with. */
  refusal(tar: Uint8Array, options?: UnpackOptions): Promise<ProvisionerError>;
}

const PLAIN_LIMITS: UnpackLimits = { ...DEFAULT_UNPACK_LIMITS, freeSpaceReserve: 0 };

/**
 * For tests of the unpack engine: call it in the file's or describe's body.
 * @param parent where the directory is made. Default: in memory where that is to be had, since some of the archives have thousands of entries
 */
export function useLayers(parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()): Layers {
  let path = '';
  let before = '';
  let count = 0;
  const outside = (): string => join(path, 'outside');
  beforeEach(() => {
    path = mkdtempSync(join(parent, 'layers-'));
    mkdirSync(join(outside(), 'directory'), { recursive: true });
    writeFileSync(join(outside(), 'file'), 'canary');
    writeFileSync(join(outside(), 'directory', 'file'), 'canary');
    symlinkSync('file', join(outside(), 'link'));
    before = canaries(path);
  });
  afterEach(() => {
    expect(canaries(path), 'files outside the layer').toBe(before);
    // Some of the trees are deeper than the stack of Node's own removal.
    removeTree(path, { syscalls: new NativeFreeSyscalls() });
  });

  const unpack = async (tar: Uint8Array, options: UnpackOptions = {}): Promise<Unpacked> => {
    const directory = join(path, `${count++}`);
    mkdirSync(directory);
    const blob = options.blob ?? tar;
    const file = `${directory}.blob`;
    writeFileSync(file, blob);
    const { syscalls = new NativeFreeSyscalls(), signal = new AbortController().signal, progress = () => {} } = options;
    const { digest = undefined, diffId = sha256(tar), format = 'plain', privileged = false, limits } = options;
    const request: UnpackRequest = {
      blob: { path: file, offset: 0, size: blob.length },
      digest,
      diffId,
      directory,
      format,
      privileged,
      limits: { ...PLAIN_LIMITS, ...limits },
      keepTar: true,
    };
    const result = await unpackLayer(request, { syscalls, signal, progress, hasSpareProcessor: () => true });
    expect(result.tar).toBe('kept');
    expect(rebuiltDigest(directory, diffId, syscalls), 'of the archive, made again').toBe(diffId);
    const rootfs = join(directory, 'rootfs');
    return { ...result, rootfs, stacking: await readStacking(directory), tree: describeTree(rootfs) };
  };

  return {
    get path() {
      return path;
    },
    get outside() {
      return outside();
    },
    unpack,
    async refusal(tar, options) {
      try {
        await unpack(tar, options);
      } catch (error) {
        if (isProvisionerError(error)) return error;
        throw error;
      }
      throw new Error('the layer was not refused');
    },
  };
}

/** The digest of what a layer's tar record makes of its files. @param like one of the same algorithm */
export function rebuiltDigest(directory: string, like: string, syscalls: Syscalls): string {
  const [algorithm = ''] = like.split(':');
  const hash = createHash(algorithm);
  for (const piece of rebuildTar(directory, loadTreeCalls(syscalls))) hash.update(piece);
  return `${algorithm}:${hash.digest('hex')}`;
}

/** Every change of the canaries shows in it: times of change, links, content. Access is not change. */
function canaries(path: string): string {
  const names = readdirSync(join(path, 'outside'), { recursive: true, encoding: 'utf8' }).sort();
  const lines = ['', ...names].map((name) => {
    const { ino, mode, nlink, uid, gid, size, mtimeNs, ctimeNs } = lstatSync(join(path, 'outside', name), {
      bigint: true,
    });
    return [name, ino, mode, nlink, uid, gid, size, mtimeNs, ctimeNs].join(' ');
  });
  return [...lines, readFileSync(join(path, 'outside', 'file'), 'utf8')].join('\n');
}

/**
 * A tree in words: `file 644 abc`, `directory 755`, `symlink to x`, `fifo`, `character`, `block`. The root itself is `.`.
 * Long contents show their length only.
 */
export function describeTree(rootfs: string): Record<string, string> {
  // Without a prototype: an entry may be called __proto__.
  const tree: Record<string, string> = Object.create(null);
  const rest = [''];
  for (let directory = rest.pop(); directory !== undefined; directory = rest.pop()) {
    tree[directory === '' ? '.' : directory] = `directory ${modeOf(below(rootfs, directory))}`;
    for (const name of readdirSync(below(rootfs, directory), 'latin1')) {
      const path = directory === '' ? name : `${directory}/${name}`;
      if (lstatSync(below(rootfs, path)).isDirectory()) rest.push(path);
      else tree[path] = describeFile(below(rootfs, path));
    }
  }
  return tree;
}

/** @param path one character per byte */
export function below(rootfs: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${rootfs}/`), Buffer.from(path, 'latin1')]);
}

function describeFile(path: Buffer): string {
  const status = lstatSync(path);
  if (status.isSymbolicLink()) return `symlink to ${readlinkSync(path, 'latin1')}`;
  if (status.isFIFO()) return 'fifo';
  if (status.isCharacterDevice()) return 'character';
  if (status.isBlockDevice()) return 'block';
  const content = status.size > 100 ? `(${status.size} bytes)` : readFileSync(path, 'latin1');
  return `file ${modeOf(path)} ${content}`.trimEnd();
}

function modeOf(path: Buffer): string {
  return (lstatSync(path).mode & 0o7777).toString(8);
}

export type ReadEntry = TarEntry & { readonly data: Buffer };

/** What the reader makes of an archive, without a file system. @param chunkSize bytes pushed at a time. Default: all */
export function readTar(tar: Buffer, chunkSize = tar.length): ReadEntry[] {
  const entries: ReadEntry[] = [];
  let current: TarEntry | undefined;
  let data: Buffer[] = [];
  const reader = new TarReader({
    entry: (entry) => {
      current = entry;
      data = [];
    },
    data: (chunk, start, end) => data.push(Buffer.from(chunk.subarray(start, end))),
    endEntry: () => {
      if (current !== undefined) entries.push({ ...current, data: Buffer.concat(data) });
      current = undefined;
    },
  });
  for (let at = 0; at < tar.length; at += chunkSize) reader.push(tar.subarray(at, at + chunkSize));
  reader.end();
  return entries;
}

/** The only entry of an archive. */
export function readOne(tar: Buffer): ReadEntry {
  const [entry, ...more] = readTar(tar);
  if (entry === undefined || more.length > 0) throw new Error(`the archive has ${more.length} more entries than one`);
  return entry;
}

/** The error of our own that `action` must end with. */
export function thrownBy(action: () => unknown): ProvisionerError {
  try {
    action();
  } catch (error) {
    if (isProvisionerError(error)) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

/** Processor time that this process has taken, in seconds: unlike the clock it does not run on while others have the machine. */
export function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
