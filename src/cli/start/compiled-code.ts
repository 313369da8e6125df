import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants as files,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { Script } from 'node:vm';
import { isWritableByOthers, walkWay } from '../../base/walk-way.js';

/** Bytes; to find and read what was compiled of less takes as long as to compile it. */
const SMALL = 32 * 1024;
/** Bytes; none of ours comes near it. */
const HUGE = 64 * 1024 * 1024;

/** What stands for `import()` in the files: compiled before, V8 does not know any more whom to ask. */
export const IMPORT = 'importModule';

/** What leads what is kept, on a line of its own. */
interface Head {
  /** What it was compiled of, and by what. */
  readonly of: string;
  /** All that was loaded in the processes whose functions are in it. */
  readonly with: readonly string[];
  /** SHA-256 of the rest, in hex: V8 takes our word for it. */
  readonly sha256: string;
}

interface Kept {
  readonly head: Head;
  readonly code: Buffer;
}

interface Compiled {
  readonly name: string;
  readonly of: string;
  readonly script: Script;
  /** Of the processes before; undefined when there was nothing that could be used. */
  readonly with: readonly string[] | undefined;
}

/**
 * Where what was compiled is kept. It is executed, so it lies where nobody but the user who runs us, and root, can put anything: of root in `/var/cache`, whoever's home directory he was left with.
 * @returns undefined when it is kept nowhere
 */
export function codeCacheDirectory(environment: NodeJS.ProcessEnv, uid: number | undefined): string | undefined {
  const { PROVISIONER_CODE_CACHE: wanted, XDG_CACHE_HOME: caches = '' } = environment;
  if (uid === undefined || wanted === 'off') return undefined;
  if (wanted) return isAbsolute(wanted) ? wanted : undefined;
  if (uid === 0) return '/var/cache/provisioner';
  const base = isAbsolute(caches) ? caches : join(homeOf(environment), '.cache');
  return isAbsolute(base) ? join(base, 'provisioner') : undefined;
}

/** Empty for who has none. */
function homeOf({ HOME }: NodeJS.ProcessEnv): string {
  try {
    return HOME || homedir();
  } catch {
    return '';
  }
}

/**
 * Loads the files of the command line with what V8 has compiled of them before. To compile them takes a short command a quarter of its time, and a package cannot bring it along: it is of one release of Node.js.
 * Whatever is wrong with it, it is compiled again.
 */
export class CompiledCode {
  readonly #directory: string;
  readonly #cache: string | undefined;
  readonly #require: NodeJS.Require;
  readonly #loaded = new Map<string, { exports: unknown }>();
  readonly #compiled: Compiled[] = [];
  /** Where it is read from: undefined as long as there is no such directory, or one that others can change. */
  readonly #place: string | undefined;

  /** @param directory of the files, absolute @param cache as of `codeCacheDirectory` */
  constructor(directory: string, cache: string | undefined) {
    this.#directory = directory;
    this.#require = createRequire(join(directory, 'package.json'));
    // Each that is installed has its own, and nothing of what was there before it.
    const own = createHash('sha256').update(directory).digest('hex').slice(0, 16);
    this.#cache = cache === undefined ? undefined : join(cache, own);
    this.#place = this.#cache === undefined ? undefined : found(this.#cache);
  }

  /** @param name of a CommonJS module in the directory @returns what it exports */
  load(name: string): unknown {
    const before = this.#loaded.get(name);
    if (before !== undefined) return before.exports;
    const module = { exports: {} as unknown };
    this.#loaded.set(name, module);
    const path = join(this.#directory, name);
    const run = this.#compile(name, path).runInThisContext() as (...given: unknown[]) => void;
    const require = (id: string) => (id.startsWith('./') ? this.load(id.slice(2)) : this.#require(id));
    const importModule = (id: string) => import(id);
    try {
      run.call(module.exports, module.exports, require, module, path, this.#directory, importModule);
    } catch (error) {
      this.#loaded.delete(name);
      throw error;
    }
    return module.exports;
  }

  #compile(name: string, path: string): Script {
    const bytes = readFileSync(path);
    const text = bytes.toString('utf8');
    const source = `(function (exports, require, module, __filename, __dirname, ${IMPORT}) {${text}\n})`;
    if (this.#cache === undefined || bytes.length < SMALL) return new Script(source, { filename: path });
    // Packages come with the same times whatever is in them, and V8 looks at nothing but the length.
    const of = `${sha256(bytes)} ${process.version} ${process.arch}`;
    const kept = this.#place === undefined ? undefined : readKept(this.#place, name, of);
    const script = new Script(source, { filename: path, cachedData: kept?.code });
    const isUsed = kept !== undefined && script.cachedDataRejected !== true;
    this.#compiled.push({ name, of, script, with: isUsed ? kept.head.with : undefined });
    return script;
  }

  /** Keeps what has been compiled, where this process has loaded something with it that no other had. To be called at the end: functions are compiled when they are called first. */
  keep(): void {
    if (this.#cache === undefined) return;
    const loaded = [...this.#loaded.keys()];
    const wanted = this.#compiled.filter((one) => !loaded.every((name) => one.with?.includes(name)));
    if (wanted.length === 0) return;
    try {
      const place = this.#place ?? made(this.#cache);
      if (place === undefined) return;
      const here = new Set(readdirSync(this.#directory));
      for (const name of readdirSync(place)) {
        if (!here.has(name)) rmSync(join(place, name), { recursive: true, force: true });
      }
      for (const { name, of, script, with: before = [] } of wanted) {
        const code = script.createCachedData();
        const head: Head = { of, with: [...new Set([...before, ...loaded])].sort(), sha256: sha256(code) };
        putWhole(join(place, name), Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), code]));
      }
    } catch {
      // A full or read-only disk: then it is compiled each time.
    }
  }
}

/** Whole or not at all, and nothing else. */
function putWhole(path: string, bytes: Buffer): void {
  const draft = `${path}.${randomBytes(8).toString('hex')}.draft`;
  try {
    writeFileSync(draft, bytes, { flag: 'wx', mode: 0o600 });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/**
 * Where a directory is, or would be, provided that nobody but the user who runs us and root can make its path lead elsewhere. Nobody is trusted whom a user namespace shows as somebody without an id.
 * @returns undefined where it is not like that
 */
function trusted(directory: string): string | undefined {
  const refused = () => new Error('others can make it lead elsewhere');
  try {
    return walkWay(directory, isRootOrUs, { foreign: refused, writable: refused, dangling: refused });
  } catch {
    return undefined;
  }
}

/** Makes what is missing of the last three directories. @returns the way to it; undefined where more is missing, or it is not ours */
function made(directory: string): string | undefined {
  const place = trusted(directory);
  if (place === undefined) return undefined;
  const missing: string[] = [];
  for (let at = place; lstatSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) missing.unshift(at);
  if (missing.length > 3) return undefined;
  for (const path of missing) {
    mkdirSync(path, { mode: 0o700 });
    // Whatever the umask.
    chmodSync(path, 0o700);
  }
  return isOurs(lstatSync(place)) ? place : undefined;
}

/** As it is now; undefined where it is not there, or not ours. */
function found(directory: string): string | undefined {
  const place = trusted(directory);
  const stats = place === undefined ? undefined : lstatSync(place, { throwIfNoEntry: false });
  return stats?.isDirectory() && isOurs(stats) ? place : undefined;
}

function readKept(place: string, name: string, of: string): Kept | undefined {
  let file: number | undefined;
  try {
    file = openSync(join(place, name), files.O_RDONLY | files.O_NOFOLLOW | files.O_NONBLOCK);
    const stats = fstatSync(file);
    if (!stats.isFile() || !isOurs(stats) || stats.size > HUGE) return undefined;
    const bytes = readFileSync(file);
    const end = bytes.indexOf('\n');
    const head = JSON.parse(bytes.toString('utf8', 0, end)) as Head;
    const code = bytes.subarray(end + 1);
    return head.of === of && head.sha256 === sha256(code) ? { head, code } : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

const isOurs = (stats: Stats) => stats.uid === process.geteuid?.() && !isWritableByOthers(stats);

const isRootOrUs = (owner: number) => owner === 0 || owner === process.geteuid?.();

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
