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
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Script } from 'node:vm';

/** Bytes; to find and read what was compiled of less takes as long as to compile it. */
const SMALL = 32 * 1024;
/** Bytes; none of ours comes near it. */
const HUGE = 64 * 1024 * 1024;
/** As the kernel has it. */
const MOST_LINKS = 40;

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
    this.#place = this.#cache === undefined ? undefined : trusted(this.#cache);
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
      for (const name of readdirSync(place)) if (!here.has(name)) rmSync(join(place, name));
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
 * The way to a directory, without links, on which nobody but the user who runs us and root can change anything: all of it is theirs, the links that were followed too, and to be written by nobody else, or sticky.
 * @param isGood decides about the directory itself @returns undefined where it is not like that, or not there
 */
function trusted(directory: string, isGood = isOurs): string | undefined {
  try {
    let way = '/';
    let last = lstatSync(way);
    let links = 0;
    for (let names = partsOf(directory); names.length > 0; ) {
      const [name = '', ...rest] = names;
      if (!isTheirs(last) || !last.isDirectory()) return undefined;
      const next = join(way, name);
      const stats = lstatSync(next);
      names = rest;
      if (stats.isSymbolicLink()) {
        if (!isOfTheirs(stats) || ++links > MOST_LINKS) return undefined;
        const target = readlinkSync(next);
        names = [...partsOf(isAbsolute(target) ? target : join(way, target)), ...rest];
        way = '/';
        last = lstatSync(way);
      } else {
        way = next;
        last = stats;
      }
    }
    return last.isDirectory() && isGood(last) ? way : undefined;
  } catch {
    return undefined;
  }
}

const partsOf = (path: string) => path.split('/').filter((part) => part !== '' && part !== '.');

/** Makes what is missing of the last three directories, each in one that is trusted. @returns as `trusted` */
function made(directory: string, levels = 3): string | undefined {
  try {
    const above = dirname(directory);
    if (levels > 1 && lstatSync(above, { throwIfNoEntry: false }) === undefined) made(above, levels - 1);
    const place = trusted(above, isTheirs);
    if (place === undefined) return undefined;
    const path = join(place, basename(directory));
    mkdirSync(path, { mode: 0o700 });
    // Whatever the umask.
    chmodSync(path, 0o700);
    return path;
  } catch {
    return undefined;
  }
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

const isOurs = ({ uid, mode }: Stats) => uid === process.geteuid?.() && (mode & 0o022) === 0;

/** The user's, or root's. */
const isOfTheirs = ({ uid }: Stats) => uid === 0 || uid === process.geteuid?.();

/** In a sticky directory nobody else can take the place of what is theirs. */
const isTheirs = (stats: Stats) => isOfTheirs(stats) && ((stats.mode & 0o022) === 0 || (stats.mode & 0o1000) !== 0);

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
