import { randomBytes } from 'node:crypto';
import { crashPoint } from '../base/crash-points.js';
import { firstLine, ProvisionerError } from '../base/errors.js';
import { takeOptions } from '../base/options/take-options.js';
import type { Clock } from '../base/time/clock.js';
import {
  type Containerizer,
  isToHoldBack,
  isWaiting,
  poolName,
  WARM_POOL,
  type WarmRecord,
  warmContainers,
} from '../containerizer/index.js';
import type { ImageId, Provisioner } from '../index.js';
import { mountNamespaceHere } from '../system/locks/mount-place.js';
import { pidOf } from '../system/locks/process-identity.js';
import type { Budget } from './pool/budget.js';
import { Pool } from './pool/pool.js';
import type { PoolEvent, PoolSource } from './pool/pool-source.js';
import type { PoolSize } from './pool/sizing.js';
import { keyOf } from './pool-key.js';
import {
  CLAIM_OPTIONS,
  type ClaimOptions,
  type PoolSizeOption,
  STOP_POOL_OPTIONS,
  type StopPoolOptions,
  takeSize,
  type WarmPoolSpec,
} from './pool-options.js';
import type { PoolStatus } from './pool-status.js';
import { type ContainerHow, ContainerSource, type WarmContainer } from './sources/container-source.js';
import { doAway } from './sources/do-away.js';
import { RootfsSource, type WarmRootfs } from './sources/rootfs-source.js';
import { WarmHoldings } from './sources/warm-holdings.js';
import type { Claimed, WarmPool } from './warm-pool.js';

export interface KeptPoolOptions {
  readonly name: string;
  /** Checked. */
  readonly spec: WarmPoolSpec;
  readonly provisioner: Provisioner;
  /** Undefined for root filesystems alone. */
  readonly containerizer: Containerizer | undefined;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly tell: (event: PoolEvent) => void;
  /** Once. @param ended resolves when nothing of it is under way any more */
  readonly stopped: (ended: Promise<void>) => void;
}

type Made = WarmContainer | WarmRootfs;

/** What a pool that nobody keeps has left is looked for with each so-manieth look, too: what could not be destroyed before. */
const LOOKS_A_SEARCH = 10;

/** A pool, and what is recorded of it. */
export class KeptPool implements WarmPool {
  readonly name: string;
  readonly #options: KeptPoolOptions;
  readonly #run: string;
  readonly #key: string;
  readonly #source: ContainerSource | RootfsSource;
  readonly #pool: Pool<Made, Claimed, ContainerHow>;
  readonly #beganAt: number;
  readonly #leaveBudget: () => void;
  #size: PoolSize;
  #looks = 0;
  /** What is being handed out just now, and what is being taken over. */
  readonly #underWay = new Set<Promise<unknown>>();
  #lastError: string | undefined;
  #recorded = '';
  /** It is being stopped, or closed: from then on what is found is whoever's who begins it next. */
  #isOver = false;
  #ending: Promise<void> | undefined;

  /** @throws ProvisionerError `ERR_POOL_RUNNING` */
  static async begin(options: KeptPoolOptions): Promise<KeptPool> {
    const { provisioner, name } = options;
    const { holdings } = provisioner;
    const run = randomBytes(8).toString('hex');
    const wish = { kind: WARM_POOL, names: [poolName({ pool: name, owner: provisioner.owner })] };
    for (;;) {
      const { held } = await holdings.take({ bootId: bootId(), holder: run }, [wish]);
      if (held === undefined) break;
      const living = held.find((one) => holdings.isAlive(one));
      if (living !== undefined) throw keptAlready(name, pidOf(living.process));
      // Of one who has died. Somebody else may be at the same: one of us gets it.
      await holdings.release(held);
    }
    crashPoint('pool.begun');
    const pool = new KeptPool(options, run);
    try {
      await isToHoldBack(provisioner, pool.#note);
      await pool.#takeOver();
      await pool.record();
    } catch (error) {
      // Nobody has it: it holds its name no longer.
      await pool.close();
      throw error;
    }
    pool.#pool.refill();
    return pool;
  }

  private constructor(options: KeptPoolOptions, run: string) {
    const { name, spec, clock, random, budget, tell } = options;
    this.name = name;
    this.#options = options;
    this.#run = run;
    this.#key = keyOf(spec);
    this.#source = sourceOf(options, this.#key);
    this.#size = takeSize('keep', spec.size);
    this.#beganAt = clock.now();
    this.#pool = new Pool({
      source: this.#watched(givingClaimed(this.#source)),
      ...{ size: this.#size, ttl: spec.ttl, limits: spec.limits, clock, random, mayCreate: budget.mayCreate },
      tell: (event) => {
        if (event.kind === 'failed') this.#lastError = firstLine(event.error);
        tell(event);
      },
    });
    this.#leaveBudget = budget.add(this.#pool);
  }

  get size(): number {
    return this.#pool.size;
  }
  get capacity(): number {
    return this.#pool.capacity;
  }
  get creators(): number {
    return this.#pool.creators;
  }

  async get(options: ClaimOptions = {}): Promise<Claimed | null> {
    const { attach = false, timeout, signal } = takeOptions('get', CLAIM_OPTIONS, options);
    return this.#pool.get({ attach }, { timeout, signal });
  }

  takeErrors(): unknown[] {
    return this.#pool.takeErrors();
  }

  resize(size: PoolSizeOption): void {
    this.#size = takeSize('resize', size);
    this.#pool.resize(this.#size);
  }

  status(): PoolStatus {
    const { name, provisioner, spec } = this.#options;
    const pool = this.#pool;
    const times = [...pool.creationTimes].sort((one, other) => one - other);
    const median = times[Math.floor(times.length / 2)];
    return {
      ...pool.counts,
      pool: name,
      owner: provisioner.owner,
      kind: spec.kind ?? 'created',
      image: spec.image,
      key: this.#key,
      min: this.#size.min,
      max: this.#size.max,
      target: pool.target,
      ready: pool.size,
      creators: pool.creators,
      cost: pool.cost,
      creationTime: median === undefined ? undefined : { median, most: times.at(-1) ?? median },
      oldestAge: pool.oldestAge,
      recentErrors: pool.recentErrors,
      lastError: this.#lastError,
      throttledUntil: pool.throttledUntil,
      isHeldBack: pool.isHeldBack,
      beganAt: this.#beganAt,
    };
  }

  /** Looks at all that is ready. */
  async look(): Promise<void> {
    if (await isToHoldBack(this.#options.provisioner, this.#note)) this.#pool.holdBack();
    const image = await this.#currentImage();
    await this.#pool.look((made) => image !== undefined && imageOf(made) !== image);
    if (this.#looks++ % LOOKS_A_SEARCH === LOOKS_A_SEARCH - 1 && !this.#isOver) await this.#track(this.#takeOver());
  }

  /** Has its numbers seen by other processes. */
  async record(): Promise<void> {
    const { oldestAge, ...status } = this.status();
    const recorded = JSON.stringify(status);
    // Time that passes is no news: when each was made is recorded with it.
    if (recorded === this.#recorded || this.#ending !== undefined) return;
    this.#recorded = recorded;
    const details = JSON.stringify({ ...status, oldestAge });
    await this.#options.provisioner.holdings.change(this.#holding, { from: this.#run, details });
  }

  get #note() {
    return { pool: this.name, owner: this.#options.provisioner.owner };
  }

  get #holding() {
    return { kind: WARM_POOL, name: poolName(this.#note) };
  }

  #watched(source: PoolSource<Made, Claimed, ContainerHow>): PoolSource<Made, Claimed, ContainerHow> {
    return {
      ...source,
      handOut: (made, how) => this.#track(source.handOut(made, how)),
      fault: async (made) => {
        const fault = await source.fault(made);
        // Whoever needs its room asks before he destroys it: nothing is made in its place.
        if (fault !== undefined && (await isToHoldBack(this.#options.provisioner, this.#note))) this.#pool.holdBack();
        return fault;
      },
    };
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const isDone = () => this.#underWay.delete(work);
    work.then(isDone, isDone);
    return work;
  }

  /** What its name leads to just now; undefined where that is nothing that is stored, or no name. */
  async #currentImage(): Promise<ImageId | undefined> {
    try {
      return (await this.#options.provisioner.images.get(this.#options.spec.image)).id;
    } catch {
      return undefined;
    }
  }

  /** What is recorded of this pool and nobody looks after: whoever did has died, or could not destroy it. */
  async #takeOver(): Promise<void> {
    const { provisioner, containerizer } = this.#options;
    const image = await this.#currentImage();
    for (const record of await warmContainers(provisioner)) {
      const isOwn = record.pool === this.name && record.owner === provisioner.owner;
      if (!isOwn || this.#source.known.has(record.containerId)) continue;
      if (this.#isOver) return;
      try {
        if (!(await this.#adopted(record, image))) await doAway(provisioner, containerizer, record);
      } catch {
        // The next search finds it again.
      }
    }
  }

  async #adopted(record: WarmRecord, current: ImageId | undefined): Promise<boolean> {
    const { containerizer, provisioner } = this.#options;
    const source = this.#source;
    if (!(source instanceof ContainerSource) || containerizer === undefined || record.isTaken) return false;
    const isWanted = record.key === this.#key && record.bootId === bootId() && this.#pool.size < this.#pool.target;
    if (!isWanted) return false;
    const launch = await containerizer.get(record.containerId);
    if (launch === undefined || (current !== undefined && launch.image !== current)) return false;
    const made = source.adopted(record.containerId, launch.image);
    let isWhole = false;
    try {
      // It may have been handed out, and be known and recorded no more, since the records were read.
      isWhole = (await source.fault(made)) === undefined && (await isWaiting(provisioner, record.containerId));
    } finally {
      // Nobody looks after it yet: the next search finds it again.
      if (!isWhole) source.known.delete(record.containerId);
    }
    if (isWhole && !this.#isOver) this.#pool.adopt(made, launch.createdAt);
    return isWhole;
  }

  async stop(options: StopPoolOptions = {}): Promise<number> {
    const { timeout } = takeOptions('stop', STOP_POOL_OPTIONS, options);
    this.#isOver = true;
    try {
      return await this.#pool.stop(timeout);
    } finally {
      this.#end();
      // Its name is free then, but for what still has to come to its end.
      if (this.#pool.isIdle) await this.#ending;
    }
  }

  /** Makes no more, and gives nobody anything. What is ready stays. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#pool.halt();
    this.#end();
    await this.#ending;
  }

  #end(): void {
    if (this.#ending !== undefined) return;
    this.#leaveBudget();
    // As long as something of it is under way nobody else begins it.
    this.#ending = this.#pool.idle().then(async () => {
      await Promise.allSettled(this.#underWay);
      await isToHoldBack(this.#options.provisioner, this.#note).catch(() => undefined);
      const holding = { ...this.#holding, holder: this.#run };
      // Whoever begins it next finds that it is kept by nobody.
      await this.#options.provisioner.holdings.release([holding]).catch(() => undefined);
    });
    this.#options.stopped(this.#ending);
  }
}

function bootId(): string {
  return mountNamespaceHere().boot || 'unknown';
}

const imageOf = (made: Made): string | undefined => ('root' in made ? made.root.image.id : made.image);

function sourceOf(options: KeptPoolOptions, key: string): ContainerSource | RootfsSource {
  const { name, spec, provisioner, containerizer, newId } = options;
  const { kind = 'created', image, launch = {}, frozen = false } = spec;
  const note = { pool: name, owner: provisioner.owner, kind, key };
  const shared = { holdings: new WarmHoldings(provisioner, note, bootId()), newId, image };
  if (kind === 'rootfs' || containerizer === undefined) {
    return new RootfsSource({ ...shared, provisioner, provision: launch.provision ?? {} });
  }
  const running = { ...shared, containerizer, diskOf: (id: string) => writtenIn(provisioner, id) };
  if (kind === 'created') return new ContainerSource({ ...running, launch, state: 'created' });
  const state = frozen ? 'paused' : 'running';
  const hasProgram = launch.command !== undefined || launch.entrypoint !== undefined;
  return new ContainerSource({
    ...{ ...running, state },
    launch: hasProgram ? launch : { ...launch, init: 'idle' },
  });
}

/** What a container has for itself on the disk, in bytes; one that shares all with its image has nothing. */
async function writtenIn({ containers }: Provisioner, containerId: string): Promise<number> {
  const rootfs = (await containers.get(containerId))?.rootfses[0];
  return rootfs === undefined ? 0 : containers.measure({ containerId, id: rootfs.id });
}

/** What each source gives, as the pool's users get it. */
function givingClaimed(source: ContainerSource | RootfsSource): PoolSource<Made, Claimed, ContainerHow> {
  const any = source as PoolSource<Made, unknown, ContainerHow>;
  const handOut = async (made: Made, how: ContainerHow): Promise<Claimed | undefined> => {
    if ('root' in made) {
      const root = await (source as RootfsSource).handOut(made);
      return root && { containerId: root.containerId, image: root.image.id, root };
    }
    const launch = await (source as ContainerSource).handOut(made, how);
    return launch && { containerId: made.containerId, image: launch.image, launch };
  };
  return {
    handOut,
    create: (signal) => any.create(signal),
    destroy: (made) => any.destroy(made),
    discard: (made) => any.discard(made),
    fault: (made) => any.fault(made),
    costOf: (made) => any.costOf(made),
    nameOf: (made) => any.nameOf(made),
  };
}

function keptAlready(name: string, pid: number): ProvisionerError {
  const isHere = pid === process.pid;
  const who = isHere ? 'this process' : `process ${pid}`;
  return new ProvisionerError('ERR_POOL_RUNNING', `the pool ${name} is kept already, by ${who}`, {
    hint: isHere
      ? 'it is kept by other pools that were opened here, or was stopped and is still coming to its end'
      : '`provisioner pool status` shows the pools; choose another name, or stop it there',
    details: { pool: name, pid },
  });
}
