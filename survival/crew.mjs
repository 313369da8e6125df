// @ts-check
/* Starts the processes that use a store at random, reads what they tell, and works out what must be true of the store. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { KEPT, makeImages } from './images.mjs';
import { makeReference, writeReference } from './reference.mjs';

const WORKER = fileURLToPath(new URL('./worker.mjs', import.meta.url));
export const OWNERS = /** @type {const} */ (['one', 'two']);
/** A process that does not do what it is told for so many seconds hangs. */
const PATIENCE = 60;

/** @typedef {Record<string, any>} Event */

/**
 * @typedef {object} Known what is known of a container
 * @property {string} owner
 * @property {string} image
 * @property {Map<string, string | undefined>} files what was written in it; undefined when it is not known whether it was
 * @property {'here' | 'doubt'} state
 */

/** What all processes so far were told. */
export class Ledger {
  /** @type {Map<string, Known>} */
  containers = new Map();
  /** @type {Map<string, 'here' | 'doubt' | 'gone'>} */
  tags = new Map();
  /** Images that no prune may take any more. @type {Set<string>} */
  safe = new Set();
  /** @type {string[]} */
  faults = [];
  /** Operations that came to an end. */
  operations = 0;
  /** @type {Map<string, number>} */
  counts = new Map();
  longestPrune = 0;

  /** @param {readonly Event[]} events of one process, in their order @param {string} owner */
  add(events, owner) {
    for (const event of events) this.#addOne(event, owner);
  }

  /** @param {Event} event @param {string} owner */
  #addOne(event, owner) {
    const { what, state } = event;
    if (what === 'fault') this.faults.push(event['text']);
    if (state === 'done' || state === 'failed') {
      this.operations++;
      const kind = `${what}${event['backend'] ? ` ${event['backend']}` : ''}${state === 'failed' ? ' (refused)' : ''}`;
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    }
    if (what === 'provision') this.#provision(event, owner);
    if (what === 'change') {
      const files = this.containers.get(event['id'])?.files;
      files?.set(event['path'], state === 'done' ? event['text'] : undefined);
    }
    if (what === 'destroy') {
      for (const id of event['ids']) {
        const container = this.containers.get(id);
        if (state === 'done') this.containers.delete(id);
        else if (container !== undefined) container.state = 'doubt';
      }
    }
    if (what === 'tag') this.tags.set(event['name'], state === 'begun' ? 'doubt' : state === 'done' ? 'here' : 'gone');
    if (what === 'rmi') this.tags.set(event['name'], state === 'begun' ? 'doubt' : 'gone');
    if (state === 'done' && ((what === 'pull' && event['image'] === KEPT) || what === 'pin'))
      this.safe.add(event['image']);
    if (what === 'prune' && state === 'done') this.longestPrune = Math.max(this.longestPrune, event['held']);
  }

  /** @param {Event} event @param {string} owner */
  #provision({ id, image, state }, owner) {
    if (state === 'failed') this.containers.delete(id);
    else this.containers.set(id, { owner, image, files: new Map(), state: state === 'done' ? 'here' : 'doubt' });
  }

  /** The containers that an agent of this owner would know after its death. @param {string} owner */
  known(owner) {
    return [...this.containers]
      .filter(([, { owner: other, state }]) => state === 'here' && other === owner)
      .map(([id]) => id);
  }

  /**
   * As it is, but that nobody knows whether what these events tell of had happened.
   * @param {readonly Event[]} events
   */
  withDoubts(events) {
    const copy = new Ledger();
    copy.containers = new Map(
      [...this.containers].map(([id, known]) => [id, { ...known, files: new Map(known.files) }]),
    );
    copy.tags = new Map(this.tags);
    copy.safe = new Set(this.safe);
    const doubt = (/** @type {string} */ id) => {
      const container = copy.containers.get(id);
      if (container !== undefined) container.state = 'doubt';
    };
    for (const { what, id, ids, path, name } of events) {
      if (what === 'provision') doubt(id);
      if (what === 'destroy') for (const inner of ids) doubt(inner);
      if (what === 'change') copy.containers.get(id)?.files.set(path, undefined);
      if (what === 'tag' || what === 'rmi') copy.tags.set(name, 'doubt');
    }
    return copy;
  }

  /** To be called when those in doubt have been destroyed, since nobody knows them. */
  forgetDoubts() {
    for (const [id, { state }] of this.containers) if (state === 'doubt') this.containers.delete(id);
    for (const [name, state] of this.tags) if (state === 'doubt') this.tags.delete(name);
  }

  /** What must be true once a recovery has put the doubts right. @returns {import('./invariants.mjs').Told} */
  told() {
    const tags = [...this.tags];
    return {
      containers: new Map([...this.containers].filter(([, { state }]) => state === 'here')),
      names: new Map([
        ...[...this.safe].map((name) => /** @type {[string, string]} */ ([name, name])),
        ...tags.filter(([, state]) => state === 'here').map(([name]) => /** @type {[string, string]} */ ([name, KEPT])),
      ]),
      absentNames: tags.filter(([, state]) => state === 'gone').map(([name]) => name),
    };
  }

  /** @returns {string} */
  get summary() {
    return [...this.counts]
      .sort()
      .map(([what, count]) => `${count} ${what}`)
      .join(', ');
  }
}

/** One process that uses a store at random. */
export class Worker {
  /** Those who wait for a message: several may, and each for another one. @type {Set<() => void>} */
  #waiting = new Set();
  /** @type {any[]} */
  #messages = [];
  #read = 0;

  /**
   * @param {{ name: string, owner: string }} config what it is told @param {string} directory for its journal @param {string} program what it runs
   */
  constructor(config, directory, program) {
    this.name = config.name;
    this.owner = config.owner;
    this.journal = join(directory, `journal-${config.name}`);
    writeFileSync(this.journal, '');
    const argument = JSON.stringify({ ...config, journal: this.journal });
    const child = spawn(process.execPath, [program, argument], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.process = child;
    /** @type {Promise<void>} */
    this.ended = new Promise((resolve) => child.once('close', () => resolve()));
    child.on('message', (message) => {
      this.#messages.push(message);
      this.#wake();
    });
    child.on('error', () => {});
    void this.ended.then(() => this.#wake());
  }

  get isRunning() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Whole lines that it has told since the last time. @param {number} [until] bytes of the journal that count. Default: all @returns {Event[]} */
  news(until = Number.POSITIVE_INFINITY) {
    const bytes = readFileSync(this.journal).subarray(this.#read, until);
    const end = bytes.lastIndexOf(10) + 1;
    this.#read += end;
    return bytes
      .toString('utf8', 0, end)
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  /** What `news` would tell, which then still tells it. @returns {Event[]} */
  peek() {
    const read = this.#read;
    const events = this.news();
    this.#read = read;
    return events;
  }

  get told() {
    return statSync(this.journal).size;
  }

  /** @returns {Promise<boolean>} false when it ended before */
  async ready() {
    return (await this.#message((message) => message === 'ready')) !== undefined;
  }

  /** @param {'pause' | 'resume' | 'stop' | 'recover'} order @param {object} [more] @returns {Promise<any>} its answer */
  async tell(order, more = {}) {
    if (this.isRunning) this.process.send({ order, ...more }, () => {});
    return this.#message((message) => message.done === order);
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  /** Lets it finish what it does. @returns {Promise<string[]>} what is wrong with that */
  async stop() {
    void this.tell('stop');
    const hung = !(await inTime(this.ended));
    if (hung) await this.kill();
    if (!hung && this.process.exitCode === 0) return [];
    return [
      hung
        ? `${this.name} does not stop`
        : `${this.name} ended with ${this.process.exitCode ?? this.process.signalCode}`,
    ];
  }

  /** @param {(message: any) => boolean} wanted */
  async #message(wanted) {
    for (;;) {
      const index = this.#messages.findIndex(wanted);
      if (index !== -1) return this.#messages.splice(index, 1)[0];
      if (!this.isRunning) return undefined;
      const woken = new Promise((resolve) => this.#waiting.add(() => resolve(undefined)));
      if (!(await inTime(woken))) throw new Error(`${this.name} does not answer`);
    }
  }

  #wake() {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}

/** @param {Promise<unknown>} promise @returns {Promise<boolean>} false when it took too long */
async function inTime(promise) {
  const over = new AbortController();
  const late = patience(over.signal).then(
    () => 'late',
    () => undefined,
  );
  try {
    return (await Promise.race([promise, late])) !== 'late';
  } finally {
    over.abort();
  }
}

/** Second by second, because the clock does not stand still when the whole machine is made to: only one of them is over then. */
async function patience(/** @type {AbortSignal} */ signal) {
  for (let second = 0; second < PATIENCE; second++) await sleep(1000, undefined, { signal });
}

/**
 * A directory with the images, what they are, and the processes that use the stores in it.
 */
export class Crew {
  /** @type {Set<Worker>} */
  workers = new Set();
  #last = 0;

  /**
   * @param {string} directory @param {Record<string, import('./images.mjs').TestImage>} images @param {import('./reference.mjs').Reference} reference
   * @private
   */
  constructor(directory, images, reference) {
    this.directory = directory;
    this.images = images;
    this.reference = reference;
    this.referenceFile = join(directory, 'reference.json');
    writeReference(reference, this.referenceFile);
  }

  /** @param {number} [scale] see `makeImages` */
  static async gather(scale) {
    const directory = mkdtempSync(join(roomyDirectory(), 'provisioner-survival-'));
    try {
      const images = await makeImages(directory, scale);
      return new Crew(directory, images, await makeReference(directory, images));
    } catch (error) {
      rmSync(directory, { recursive: true });
      throw error;
    }
  }

  /** @param {Pick<import('./worker.mjs').WorkerConfig, 'root' | 'owner' | 'seed' | 'lanes'> & Partial<import('./worker.mjs').WorkerConfig>} config */
  start(config) {
    const { images, referenceFile, directory } = this;
    /** @type {Omit<import('./worker.mjs').WorkerConfig, 'journal'>} */
    const whole = { ...config, images, reference: referenceFile, name: `w${this.#last++}` };
    const worker = new Worker(whole, directory, WORKER);
    this.workers.add(worker);
    void worker.ended.then(() => this.workers.delete(worker));
    return worker;
  }

  /** Ends all processes and removes everything, whatever state it is in. */
  async disband() {
    for (const worker of [...this.workers]) await worker.kill();
    releaseMounts(this.directory);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** In memory, where there is room for the disks of `power-cut.mjs`; in a container there may be hardly any. */
export function roomyDirectory() {
  const memory = '/dev/shm';
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > 2 ** 30 ? memory : tmpdir();
}

/** @param {string} directory */
export function releaseMounts(directory) {
  for (const mount of mountsBelow(directory)) loadSyscalls().detachMount(mount);
}
