import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  open as openWithCallback,
  readlinkSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { systemCode } from './errors.js';
import { isSameFile } from './file-identity.js';
import { isWritableByOthers } from './walk-way.js';

/**
 * Files that others may have made, and may exchange at any moment: blobs of a layout, archives, auth files, certificates.
 *
 * A pipe that nobody writes to holds whoever opens it, and no signal ends that; opening a device may do something to it. So a path is first opened
 * only to name what is there, which nobody on its other side hears of; what was named is looked at, and that very thing is opened. Between look and use
 * nothing can be put in its place.
 * @see open(2), O_PATH; proc(5), /proc/pid/fd
 */

/** What is at a path where a regular file should be. */
export class NotRegularError extends Error {
  readonly found: string;

  /** @param found such as `a named pipe` */
  constructor(found: string) {
    super(`it is ${found}, not a regular file`);
    this.name = 'NotRegularError';
    this.found = found;
  }
}

/** A symbolic link on the way leads out of the directory that must not be left. */
export class LeadsOutError extends Error {
  constructor() {
    super('a symbolic link leads out of the directory');
    this.name = 'LeadsOutError';
  }
}

/** More than a file of its kind ever has. */
export class TooLargeError extends Error {
  constructor(limit: number) {
    super(`it has more than ${limit} bytes`);
    this.name = 'TooLargeError';
  }
}

/** Somebody else has put a file or a link where this user is to write. */
export class PlantedError extends Error {
  readonly path: string;
  readonly owner: number;

  constructor(path: string, owner: number) {
    super(`${path} is in a directory that others may write to, and belongs to user ${owner}`);
    this.name = 'PlantedError';
    this.path = path;
    this.owner = owner;
  }
}

export interface ForeignPlace {
  /** Links may lead anywhere below this directory, whose own path has none. Default: they may lead anywhere. */
  readonly inside?: string | undefined;
}

export type ForeignInput =
  | { readonly kind: 'file'; readonly file: FileHandle }
  /** Waits for a writer, and can be destroyed until one comes. */
  | { readonly kind: 'pipe'; readonly stream: Readable };

const openDescriptor = promisify(openWithCallback);
const O_PATH = 0o10000000;
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK | constants.O_NOCTTY;
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
/** Between two looks whether a pipe is read, in milliseconds. */
const READER_POLL = 50;
/** Major 1, minor 3. @see null(4) */
const NULL_DEVICE = 0x103;
/** Symbolic links that lead to a file, one after the other. @see path_resolution(7) */
const MOST_LINKS = 40;
/** What people write by hand: settings, certificates, plans. */
const TEXT_LIMIT = 16 * 1024 * 1024;

/** @throws `NotRegularError`, `LeadsOutError`, system errors */
export function openForeignFile(path: string, place: ForeignPlace = {}): Promise<FileHandle> {
  return lookedAt(path, place, (stats, again) => {
    if (!stats.isFile()) throw new NotRegularError(kindOf(stats));
    return openSame(again, stats);
  });
}

/** For input that may come through a pipe as well. @throws `NotRegularError`, system errors */
export function openForeignInput(path: string): Promise<ForeignInput> {
  return lookedAt(path, {}, async (stats, again) => {
    if (stats.isFIFO()) return { kind: 'pipe', stream: await openPipe(again, stats) };
    if (!stats.isFile()) throw new NotRegularError(kindOf(stats));
    return { kind: 'file', file: await openSame(again, stats) };
  });
}

/**
 * All of a small text. The null device stands for none.
 * @param pipes until when a pipe may be waited for. Default: pipes are refused
 * @throws `NotRegularError`, `TooLargeError`, system errors; the reason of `pipes`
 */
export function readForeignText(path: string, pipes?: AbortSignal): Promise<string> {
  return lookedAt(path, {}, async (stats, again) => {
    if (stats.isCharacterDevice() && stats.rdev === NULL_DEVICE) return '';
    if (stats.isFIFO() && pipes !== undefined) return readToEnd(await openPipe(again, stats), pipes);
    if (!stats.isFile()) throw new NotRegularError(kindOf(stats));
    return readFile(await openSame(again, stats));
  });
}

/** All that a stream brings, as text. @throws `TooLargeError`, what the stream fails with, the reason of the signal */
export async function readToEnd(stream: Readable, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of addAbortSignal(signal, stream)) {
      const bytes = Buffer.from(chunk as Buffer | string);
      chunks.push(bytes);
      length += bytes.length;
      if (length > TEXT_LIMIT) throw new TooLargeError(TEXT_LIMIT);
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    stream.destroy();
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function readFile(file: FileHandle): Promise<string> {
  try {
    const { size } = await file.stat();
    if (size > TEXT_LIMIT) throw new TooLargeError(TEXT_LIMIT);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

type Use<Result> = (stats: Stats, again: string) => Promise<Result>;

/** @param use is given what is there, and another path to that very thing, or as good as that */
async function lookedAt<Result>(path: string, { inside }: ForeignPlace, use: Use<Result>): Promise<Result> {
  if (process.platform !== 'linux') return lookedAtByPath(path, inside, use);
  // The way there may lead over a network. What has been opened is looked at here, in less time than another thread would need to begin.
  const name = await openDescriptor(path, O_PATH);
  try {
    const again = `/proc/self/fd/${name}`;
    const real = realPathOf(again);
    if (real === undefined) return await lookedAtByPath(path, inside, use);
    if (!isInside(real, inside)) throw new LeadsOutError();
    return await use(fstatSync(name), again);
  } finally {
    closeSync(name);
  }
}

/** Undefined where there is no /proc, or that of another process namespace. */
function realPathOf(descriptor: string): string | undefined {
  try {
    return readlinkSync(descriptor);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The next best: whoever opens without waiting, and looks at what was opened. */
async function lookedAtByPath<Result>(path: string, inside: string | undefined, use: Use<Result>): Promise<Result> {
  const real = await realpath(path);
  if (!isInside(real, inside)) throw new LeadsOutError();
  return use(await stat(real), real);
}

async function openSame(path: string, looked: Stats): Promise<FileHandle> {
  const file = await open(path, READ);
  try {
    assertSame(fstatSync(file.fd), looked);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** A socket's way of reading waits on no thread, so that a pipe without a writer holds nobody. */
async function openPipe(path: string, looked: Stats): Promise<Readable> {
  // Few need it, and each thread would load it.
  const { Socket } = await import('node:net');
  const descriptor = openSync(path, READ);
  try {
    assertSame(fstatSync(descriptor), looked);
    return new Socket({ fd: descriptor, readable: true, writable: false });
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function assertSame(opened: Stats, looked: Stats): void {
  if (isSameFile(opened, looked)) return;
  throw new NotRegularError('another thing than it was a moment ago');
}

function isInside(path: string, directory: string | undefined): boolean {
  return directory === undefined || path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}

/**
 * Writes a text to a path that the caller names: a file, which is made or replaced, a device, or a pipe, once somebody reads it.
 * @throws system errors; an `AbortError`
 */
export async function writeForeignText(path: string, text: string, signal: AbortSignal): Promise<void> {
  const descriptor = await openToWrite(path, signal);
  if (!fstatSync(descriptor).isFIFO()) {
    try {
      writeFileSync(descriptor, text);
    } finally {
      closeSync(descriptor);
    }
    return;
  }
  const { Socket } = await import('node:net');
  const pipe = new Socket({ fd: descriptor, readable: false, writable: true });
  pipe.end(text);
  await finished(pipe, { signal, readable: false });
}

/** A pipe without a reader cannot be opened without waiting for one on a thread that nobody can call back. */
async function openToWrite(path: string, signal: AbortSignal): Promise<number> {
  for (;;) {
    try {
      return openSync(path, WRITE, 0o666);
    } catch (error) {
      if (systemCode(error) !== 'ENXIO' || !(await stat(path)).isFIFO()) throw error;
      await sleep(READER_POLL, undefined, { signal });
    }
  }
}

/**
 * Whether a file or a link is one that somebody else may have put there to get what this user writes, or to have it written elsewhere: it is his, in a directory that others may write to, such as /tmp.
 * @param owner of the file or link @param directory the one it is in
 * @see proc_sys_fs(5), "protected_regular", "protected_symlinks"
 */
export function isPlanted(owner: number, directory: Pick<Stats, 'mode' | 'uid' | 'gid'>): boolean {
  return owner !== process.geteuid?.() && owner !== directory.uid && isWritableByOthers(directory);
}

/**
 * Where a file that is to be written is itself, or would be: also where a symlink leads to nothing yet.
 * @param path absolute
 * @returns a path that ends with no symlink and with nothing that somebody else has planted, and what is there. The way to it is the kernel's to go
 * @throws `PlantedError`; `ELOOP` for links that lead in circles; system errors
 */
export function behindOwnLinks(path: string): { readonly path: string; readonly stats: Stats | undefined } {
  let at = path;
  for (let links = 0; links < MOST_LINKS; links++) {
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats === undefined) return { path: at, stats };
    const directory = statSync(dirname(at), { throwIfNoEntry: false });
    if (directory !== undefined && isPlanted(stats.uid, directory)) throw new PlantedError(at, stats.uid);
    if (!stats.isSymbolicLink()) return { path: at, stats };
    at = resolve(dirname(at), readlinkSync(at));
  }
  throw Object.assign(new Error(`${path} is a symbolic link that leads in circles`), { code: 'ELOOP' });
}
