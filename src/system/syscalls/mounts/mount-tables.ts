import { createReadStream } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../../base/errors.js';
import { decodeOctal } from './mount-table.js';

/** One line of a mount table. @see proc(5), /proc/pid/mountinfo */
export interface Mount {
  /** Which file system: `major:minor`, the same in every namespace. */
  readonly device: string;
  /** Where in its file system it begins; `/` for all of it. */
  readonly root: string;
  /** Where it is mounted, as the processes of its namespace see it. */
  readonly target: string;
  /** Such as `overlay`. */
  readonly type: string;
  /** Those of the file system, with commas between. */
  readonly options: string;
}

/** What is mounted in one mount namespace, in the order in which it was mounted. */
export class MountTable {
  readonly mounts: readonly Mount[];
  /** By their target; of several at one place, the uppermost. */
  readonly #places: ReadonlyMap<string, Mount>;

  constructor(mounts: readonly Mount[]) {
    this.mounts = mounts;
    this.#places = new Map(mounts.map((mount) => [mount.target, mount]));
  }

  /** The mount that a path lies in. @param path absolute, without symlinks, of this namespace */
  mountOf(path: string): Mount | undefined {
    for (let at = path; ; at = at.slice(0, at.lastIndexOf('/'))) {
      const mount = this.#places.get(at === '' ? '/' : at);
      if (mount !== undefined || at === '') return mount;
    }
  }

  /** What a path is in every namespace: its file system, and where it lies there, as `8:1:/var/lib`. Looks at nothing but the table. */
  locate(path: string): string | undefined {
    const mount = this.mountOf(path);
    if (mount === undefined) return undefined;
    const inside = mount.target === '/' ? path : path.slice(mount.target.length);
    return `${mount.device}:${mount.root === '/' ? '' : mount.root}${inside}`;
  }
}

/**
 * The mount tables of this machine: first that of this process's own namespace, then that of every other one in which there is a process that this one may
 * look at. Read in pieces, since with ten thousand mounts a table has 14 MB.
 * @returns none on systems that have no such tables @throws an error of the system when it cannot be found out
 */
export async function* mountTables(): AsyncGenerator<MountTable> {
  for (const processes of await namespaces()) {
    // The next one when one has ended meanwhile.
    for (const process of processes) {
      const table = await tableOf(process);
      if (table === undefined) continue;
      yield table;
      break;
    }
  }
}

/** @returns undefined when the process has ended */
async function tableOf(process: string): Promise<MountTable | undefined> {
  const mounts: Mount[] = [];
  try {
    for await (const line of linesOf(join('/proc', process, 'mountinfo'))) {
      const mount = parse(line);
      if (mount !== undefined) mounts.push(mount);
    }
  } catch (error) {
    if (isOutOfSight(error)) return undefined;
    throw error;
  }
  return mounts.length === 0 ? undefined : new MountTable(mounts);
}

/** The processes of each mount namespace, as they are called in /proc; first those of this one. */
async function namespaces(): Promise<string[][]> {
  const found = new Map<string, string[]>();
  for (const name of await processes()) {
    try {
      const namespace = await readlink(join('/proc', name, 'ns/mnt'));
      found.set(namespace, [...(found.get(namespace) ?? []), name]);
    } catch (error) {
      if (!isOutOfSight(error)) throw error;
    }
  }
  return [...found.values()];
}

async function processes(): Promise<string[]> {
  try {
    return ['self', ...(await readdir('/proc')).filter((name) => /^\d+$/.test(name))];
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && process.platform !== 'linux') return [];
    throw error;
  }
}

/** A process that has ended, or is somebody's whom this one may not look at. Any other error, such as no descriptor left, says nothing of what is mounted. */
function isOutOfSight(error: unknown): boolean {
  return ['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'EINVAL'].includes(systemCode(error) ?? '');
}

async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of createReadStream(path, { encoding: 'utf8' })) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

/** `36 35 98:0 /root /target rw,noatime shared:1 - type source options`, with any number of fields before the hyphen. */
function parse(line: string): Mount | undefined {
  const fields = line.split(' ');
  const [, , device, root, target] = fields;
  const hyphen = fields.indexOf('-', 6);
  if (hyphen < 0 || device === undefined || root === undefined || target === undefined) return undefined;
  return {
    device,
    root: decodeOctal(root),
    target: decodeOctal(target),
    type: fields[hyphen + 1] ?? '',
    options: decodeOctal(fields.slice(hyphen + 3).join(' ')),
  };
}
