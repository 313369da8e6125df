import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { PassThrough } from 'node:stream';
import { ProvisionerError, throwIfAborted } from '#src/base/errors.js';
import { takeOptions } from '#src/base/take-options.js';
import type { Hierarchies } from '#src/containerizer/cgroups/hierarchies.js';
import { checkLimits, DEFAULT_PIDS } from '#src/containerizer/cgroups/limits/check-limits.js';
import type {
  Containerizer,
  ContainerRecovery,
  ContainerStats,
  ControlOptions,
  DestroyContainerOptions,
  ExecOptions,
  Execution,
  ExecutionEnd,
  Exit,
  Launch,
  Launched,
  LaunchLimits,
  LaunchOptions,
  LaunchState,
  LogEntry,
  LogSelection,
  RecoverContainersOptions,
  StopOptions,
  WaitOptions,
} from '#src/containerizer/index.js';
import * as o from '#src/containerizer/options.js';
import { relaxationsOf } from '#src/containerizer/relaxations.js';
import { signalNumber } from '#src/containerizer/signal-number.js';
import type { ImageId, PruneReport } from '#src/index.js';
import { orAborted } from '#src/system/locks/or-aborted.js';
import { type FakeClock, MACHINE_CLOCK, PausableTime } from './fake-clock.js';
import { FakeLog } from './fake-log.js';
import { type FakeEnd, FakeProcess, type FakeProgram } from './fake-process.js';

const { SIGKILL } = constants.signals;
const WORD_SHOWN = 200;
const DEFAULT_GRACE = 10_000;
/** A machine with two processors, on which a container can have every limit. */
const FACTS = { onlineCpus: [0, 1], usableCpus: [0, 1], swapBytes: 0, countsSwap: true };
const usable = { usable: true, hierarchy: { version: 2, directory: '/', controllers: [], isNamed: false } } as const;
const HIERARCHIES: Hierarchies = {
  mode: 'v2',
  base: '/',
  mounted: [usable.hierarchy],
  controllers: {
    memory: usable,
    cpu: usable,
    cpuacct: usable,
    cpuset: usable,
    pids: usable,
    io: usable,
    freezer: usable,
  },
};

/** What programs find in their root filesystem. */
export interface FakeImage {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** By name, root too. */
  readonly users: Readonly<Record<string, { readonly uid: number; readonly gid: number; readonly home: string }>>;
  /** Paths of what cannot be executed: files, and directories, which end with a slash. */
  readonly files: readonly string[];
}

export interface FakeMachineOptions {
  readonly clock?: FakeClock | undefined;
  /** By name. */
  readonly images: Readonly<Record<string, FakeImage>>;
  /** What a command does; undefined when there is no such program. */
  readonly programOf: (command: readonly string[]) => FakeProgram | undefined;
}

/** What happened to a launch, in the words of the records. */
export interface FakeEvent {
  readonly at: number;
  readonly containerId: string;
  readonly kind: 'start' | 'start-failed' | 'pause' | 'resume' | 'update' | 'exit';
}

interface FakeContainer {
  readonly launch: Omit<Launch, 'state' | 'pid' | 'exit'>;
  state: LaunchState;
  exit: Exit | undefined;
  limits: LaunchLimits;
  readonly remove: boolean;
  readonly stopSignal: string | number;
  readonly image: FakeImage;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workingDir: string;
  readonly hostname: string;
  readonly files: Set<string>;
  readonly time: PausableTime;
  readonly log: FakeLog;
  readonly pid: number;
  readonly main: FakeProcess;
  readonly processes: Set<FakeProcess>;
  /** What it ends all for. */
  by: 'time-limit' | undefined;
  readonly ended: Promise<Exit>;
  readonly end: (exit: Exit) => void;
  /** Those who read what it has printed. */
  readonly readers: Set<Promise<void>>;
}

/**
 * A machine whose containers are in memory, and whose programs are functions: for tests of whoever launches containers, without root and without a store. The
 * containerizers of its owners see the same containers. It promises what `contracts/containerizer.ts` asks for.
 */
export class FakeMachine {
  readonly clock: FakeClock;
  readonly images: FakeMachineOptions['images'];
  readonly programOf: FakeMachineOptions['programOf'];
  readonly containers = new Map<string, FakeContainer>();
  readonly events: FakeEvent[] = [];
  readonly #lost: string[] = [];
  #lastPid = 1000;

  constructor({ clock = MACHINE_CLOCK, images, programOf }: FakeMachineOptions) {
    this.clock = clock;
    this.images = images;
    this.programOf = programOf;
  }

  containerizer(owner = 'default'): Containerizer {
    return new FakeContainerizer(this, owner);
  }

  nextPid(): number {
    return ++this.#lastPid;
  }

  note(containerId: string, kind: FakeEvent['kind']): void {
    this.events.push({ at: this.clock.now(), containerId, kind });
  }

  /** The monitor of a container dies: how its program ends nobody can say any more. */
  loseMonitor(containerId: string): void {
    this.#lose(containerId, 'monitor-lost');
  }

  /** All that runs goes down with the machine; what is recorded stays. */
  reboot(): void {
    for (const id of [...this.containers.keys()]) this.#lose(id, 'lost-by-reboot');
  }

  /** Told once: what a recovery finds lost. */
  takeLost(): string[] {
    return this.#lost.splice(0);
  }

  #lose(id: string, reason: 'monitor-lost' | 'lost-by-reboot'): void {
    const container = this.containers.get(id);
    if (container === undefined || container.state === 'exited') return;
    this.#lost.push(id);
    this.over(container, { reason, oomKills: 0 });
  }

  /** Ends a launch, with all that runs in it. */
  over(container: FakeContainer, how: Omit<Exit, 'startedAt'>): void {
    if (container.state === 'exited') return;
    const { startedAt } = container.launch;
    const finishedAt = how.reason === 'lost-by-reboot' ? undefined : this.clock.now();
    container.exit = { ...how, startedAt, ...(finishedAt === undefined ? {} : { finishedAt }) };
    container.state = 'exited';
    for (const each of container.processes) each.send(SIGKILL);
    container.log.close();
    this.note(container.launch.containerId, 'exit');
    if (container.remove) void this.#removeWhenRead(container);
    container.end(container.exit);
  }

  async #removeWhenRead(container: FakeContainer): Promise<void> {
    // Whoever is told of the end may begin to read by then.
    await new Promise((resolve) => setImmediate(resolve));
    while (container.readers.size > 0) await Promise.all(container.readers);
    const { containerId } = container.launch;
    if (this.containers.get(containerId) === container) this.containers.delete(containerId);
  }
}

class FakeContainerizer implements Containerizer {
  readonly #machine: FakeMachine;
  readonly #owner: string;

  constructor(machine: FakeMachine, owner: string) {
    this.#machine = machine;
    this.#owner = owner;
  }

  async launch(containerId: string, imageName: string, options: LaunchOptions = {}): Promise<Launched> {
    const own = takeOptions('launch', o.LAUNCH_OPTIONS, options);
    checkLimits(own.limits, HIERARCHIES, FACTS);
    if (own.stopSignal) signalNumber(own.stopSignal);
    throwIfAborted(own.signal);
    const { containers } = this.#machine;
    if (containers.has(containerId)) {
      throw error('ERR_CONTAINER_EXISTS', `there is a container ${containerId} already`, { containerId });
    }
    const image = this.#machine.images[imageName];
    if (image === undefined) throw error('ERR_IMAGE_NOT_FOUND', `there is no image ${imageName}`, { imageName });
    const container = this.#begin(containerId, imageName, image, own);
    containers.set(containerId, container);
    this.#machine.note(containerId, 'start');
    if (own.timeout !== undefined) {
      const giveUp = container.time.after(own.timeout, () => {
        container.by = 'time-limit';
        container.main.send(SIGKILL);
      });
      void container.ended.then(giveUp);
    }
    void container.main.ended.then((end) => this.#machine.over(container, exitOf(end, container.by)));
    return {
      ...launchOf(container),
      ...(own.stdin === 'pipe' ? { stdin: container.main.input } : {}),
      ...(own.attach === true ? { output: readingAll(container, { follow: true }) } : {}),
    };
  }

  #begin(containerId: string, imageName: string, image: FakeImage, options: LaunchOptions): FakeContainer {
    const { clock } = this.#machine;
    const command = [
      ...(options.entrypoint ?? []),
      ...(options.command ?? (options.entrypoint === undefined ? image.command : [])),
    ];
    if (command.length === 0) throw error('ERR_NO_COMMAND', `container ${containerId} has no command`, { containerId });
    for (const { type, source = '' } of options.mounts ?? []) {
      if (type === 'bind' && !existsSync(source)) throw error('ERR_MOUNT_SOURCE', `there is no ${source}`, { source });
    }
    const { workingDir = '/', user = 'root' } = options;
    if (image.files.includes(workingDir))
      throw error('ERR_WORKING_DIR', `${workingDir} is no directory`, { workingDir });
    const program = this.#program(containerId, image, command);
    const account = accountOf(image, user);
    const now = clock.now();
    const time = new PausableTime(clock);
    const log = new FakeLog(() => clock.now());
    const processes = new Set<FakeProcess>();
    const files = new Set<string>();
    const env = { HOME: account.home, ...image.env, ...options.env };
    const hostname = options.hostname ?? containerId.split('/').at(-1) ?? containerId;
    let end: (exit: Exit) => void = () => {};
    const ended = new Promise<Exit>((resolve) => {
      end = resolve;
    });
    const container: FakeContainer = {
      launch: {
        containerId,
        launchId: randomBytes(16).toString('hex'),
        owner: this.#owner,
        image: `sha256:${'0'.repeat(64)}` as ImageId,
        imageName,
        command: command.map((word) => (word.length > WORD_SHOWN ? `${word.slice(0, WORD_SHOWN)}…` : word)),
        createdAt: now,
        startedAt: now,
        labels: options.labels ?? {},
        relaxed: relaxationsOf(options),
      },
      state: 'running',
      exit: undefined,
      limits: options.limits ?? {},
      remove: options.remove === true,
      stopSignal: options.stopSignal || 'SIGTERM',
      image,
      env,
      user,
      workingDir,
      hostname,
      files,
      time,
      log,
      pid: this.#machine.nextPid(),
      processes,
      by: undefined,
      ended,
      end,
      readers: new Set(),
      main: new FakeProcess(
        {
          command,
          env,
          ...account,
          workingDir,
          hostname,
          files,
          time,
          memoryLimit: () => container.limits.memoryBytes,
          print: (stream, text) => log.add(stream, text),
          running: () => [...processes].map((each) => each.command),
          isFirst: true,
        },
        program,
      ),
    };
    processes.add(container.main);
    if (options.stdin !== 'pipe') container.main.input.end();
    return container;
  }

  #program(containerId: string, image: FakeImage, command: readonly string[]): FakeProgram {
    const [name = ''] = command;
    const details = { containerId, program: name };
    if (image.files.some((file) => file === name || file === `${name}/`)) {
      throw error('ERR_COMMAND_NOT_EXECUTABLE', `${name} cannot be executed`, details);
    }
    const program = this.#machine.programOf(command);
    if (program === undefined) throw error('ERR_COMMAND_NOT_FOUND', `there is no program ${name}`, details);
    return program;
  }

  async wait(containerId: string, options: WaitOptions = {}): Promise<Exit> {
    const { signal } = takeOptions('wait', o.WAIT_OPTIONS, options);
    return orAborted(this.#find(containerId).ended, signal);
  }

  async exec(containerId: string, command: readonly string[], options: ExecOptions = {}): Promise<Execution> {
    const own = takeOptions('exec', o.EXEC_OPTIONS, options);
    const container = this.#findOwn(containerId, own.anyOwner);
    if (container.state !== 'running') throw notRunning(container);
    const { image, time, files, hostname, processes } = container;
    const program = this.#program(containerId, image, command);
    const account = accountOf(image, own.user ?? container.user);
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    const run = new FakeProcess(
      {
        command,
        env: { ...container.env, ...(own.user === undefined ? {} : { HOME: account.home }), ...own.env },
        ...account,
        workingDir: own.workingDir ?? container.workingDir,
        hostname,
        files,
        time,
        memoryLimit: () => container.limits.memoryBytes,
        print: (stream, text) => streams[stream].write(text),
        running: () => [...processes].map((each) => each.command),
        isFirst: false,
      },
      program,
    );
    processes.add(run);
    if (own.stdin !== 'pipe') run.input.end();
    let by: 'time-limit' | 'aborted' | undefined;
    const stop = (why: 'time-limit' | 'aborted') => {
      by ??= why;
      run.send(SIGKILL);
    };
    const giveUpTimer = own.timeout === undefined ? undefined : time.after(own.timeout, () => stop('time-limit'));
    const giveUp = () => stop('aborted');
    own.signal?.addEventListener('abort', giveUp, { once: true });
    if (own.signal?.aborted) giveUp();
    const ended = run.ended.then((end): ExecutionEnd => {
      giveUpTimer?.();
      own.signal?.removeEventListener('abort', giveUp);
      processes.delete(run);
      for (const stream of Object.values(streams)) stream.end();
      return by === undefined ? executionEndOf(end) : { signal: SIGKILL, reason: by };
    });
    return { ...streams, ...(own.stdin === 'pipe' ? { stdin: run.input } : {}), ended };
  }

  async *logs(containerId: string, selection: LogSelection = {}): AsyncGenerator<LogEntry, void, undefined> {
    const own = takeOptions('logs', o.LOG_SELECTION, selection);
    yield* readingAll(this.#find(containerId), own);
  }

  async stats(containerId: string): Promise<ContainerStats> {
    const container = this.#find(containerId);
    if (!isUp(container)) throw notRunning(container);
    const { limits, processes, launch } = container;
    return {
      memory: 2 ** 20 * processes.size,
      peakMemory: 2 ** 20 * processes.size,
      memoryLimit: limits.memoryBytes,
      cpuTime: Math.max(1, this.#machine.clock.now() - (launch.startedAt ?? 0)) * 1000,
      processes: processes.size,
      processLimit: limits.pids ?? DEFAULT_PIDS,
      oomKills: 0,
    };
  }

  async kill(containerId: string, signal: string | number = 'SIGKILL', options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('kill', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    const number = signalNumber(signal);
    if (!isUp(container)) throw notRunning(container);
    container.main.send(number);
    await settled();
  }

  async stop(containerId: string, options: StopOptions = {}): Promise<Exit> {
    const { anyOwner, signal, grace = DEFAULT_GRACE } = takeOptions('stop', o.STOP_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    if (container.exit !== undefined) return container.exit;
    container.main.send(signalNumber(signal ?? container.stopSignal));
    this.#resume(container);
    const giveUp = this.#machine.clock.after(grace, () => container.main.send(SIGKILL));
    try {
      return await container.ended;
    } finally {
      giveUp();
    }
  }

  async pause(containerId: string, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('pause', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    if (container.state === 'paused') return;
    if (container.state !== 'running') throw notRunning(container);
    container.time.pause();
    container.state = 'paused';
    this.#machine.note(containerId, 'pause');
  }

  async resume(containerId: string, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('resume', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    if (!isUp(container)) throw notRunning(container);
    this.#resume(container);
  }

  #resume(container: FakeContainer): void {
    if (container.state !== 'paused') return;
    container.state = 'running';
    this.#machine.note(container.launch.containerId, 'resume');
    container.time.resume();
    for (const each of container.processes) each.heedHeld();
  }

  async update(containerId: string, limits: LaunchLimits, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('update', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    checkLimits(limits, HIERARCHIES, FACTS, { update: true });
    if (!isUp(container)) throw notRunning(container);
    container.limits = { ...container.limits, ...limits };
    this.#machine.note(containerId, 'update');
  }

  async destroy(containerId: string, options: DestroyContainerOptions = {}): Promise<boolean> {
    const { anyOwner, running = 'refuse' } = takeOptions('destroy', o.DESTROY_CONTAINER_OPTIONS, options);
    const { containers } = this.#machine;
    const all = [...containers.keys()].filter((id) => id === containerId || id.startsWith(`${containerId}/`));
    for (const id of all) this.#findOwn(id, anyOwner);
    for (const id of all.sort().reverse()) {
      const container = containers.get(id) as FakeContainer;
      if (container.state !== 'exited' && running === 'refuse') {
        throw error('ERR_CONTAINER_RUNNING', `container ${id} is ${container.state}`, { containerId: id });
      }
      container.main.send(SIGKILL);
      await container.ended;
      containers.delete(id);
    }
    return all.length > 0;
  }

  async list(): Promise<Launch[]> {
    const ids = [...this.#machine.containers.keys()].sort();
    return ids.map((id) => launchOf(this.#find(id)));
  }

  async get(containerId: string): Promise<Launch | undefined> {
    const container = this.#machine.containers.get(containerId);
    return container === undefined ? undefined : launchOf(container);
  }

  /** There are no images to prune. */
  async pruneImages(): Promise<PruneReport> {
    throw error('ERR_BAD_OPTION', 'there is no store to prune', {});
  }

  async recover(options: RecoverContainersOptions = {}): Promise<ContainerRecovery> {
    const { knownContainerIds } = takeOptions('recover', o.RECOVER_CONTAINERS_OPTIONS, options);
    const mine = [...this.#machine.containers.values()].filter(({ launch }) => launch.owner === this.#owner);
    const running = mine.filter(isUp).map(({ launch }) => launch.containerId);
    const unknown = mine
      .map(({ launch }) => launch.containerId)
      .filter((id) => knownContainerIds?.includes(id) === false && !running.includes(id));
    for (const id of unknown) this.#machine.containers.delete(id);
    return {
      running: running.sort(),
      ended: [],
      lost: this.#machine.takeLost(),
      undone: [],
      removed: [],
      swept: [],
      failed: [],
      store: {
        recordsGap: null,
        droppedLeases: [],
        forgottenLayers: [],
        forgottenImages: [],
        retired: [],
        remounted: [],
        finished: [],
        destroyed: unknown,
        untrusted: [],
        kept: [],
        failed: [],
        foreign: [],
      },
    };
  }

  #find(containerId: string): FakeContainer {
    const container = this.#machine.containers.get(containerId);
    if (container !== undefined) return container;
    throw error('ERR_CONTAINER_NOT_FOUND', `no container ${containerId} has been launched`, { containerId });
  }

  #findOwn(containerId: string, anyOwner: boolean | undefined): FakeContainer {
    const container = this.#find(containerId);
    const { owner } = container.launch;
    if (owner === this.#owner || anyOwner === true) return container;
    throw error('ERR_CONTAINER_FOREIGN', `container ${containerId} belongs to ${owner}`, { containerId, owner });
  }
}

const isUp = ({ state }: FakeContainer) => state === 'running' || state === 'paused';

/** What a signal, a look or a function of the test has begun. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

function launchOf({ launch, state, exit, pid }: FakeContainer): Launch {
  return { ...launch, state, pid: state === 'exited' ? undefined : pid, ...(exit === undefined ? {} : { exit }) };
}

/** What is to be removed stays until it has been read, or whoever reads has seen enough. */
function readingAll(container: FakeContainer, selection: LogSelection): AsyncIterable<LogEntry> {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = () => {
      container.readers.delete(held);
      resolve();
    };
  });
  container.readers.add(held);
  const entries = container.log.read(selection);
  const over = async (step: Promise<IteratorResult<LogEntry, void>>) => {
    try {
      const result = await step;
      if (result.done === true) release();
      return result;
    } catch (failure) {
      release();
      throw failure;
    }
  };
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => over(entries.next()),
      return: () => over(entries.return()),
    }),
  };
}

function exitOf({ code, signal, isOutOfMemory }: FakeEnd, by: 'time-limit' | undefined): Exit {
  const oomKills = isOutOfMemory === true ? 1 : 0;
  if (code !== undefined) return { code, reason: 'exited', oomKills };
  return { signal, reason: by ?? (oomKills > 0 ? 'oom' : 'killed'), oomKills };
}

const executionEndOf = ({ code, signal }: FakeEnd): ExecutionEnd =>
  code === undefined ? { signal, reason: 'killed' } : { code, reason: 'exited' };

function accountOf(image: FakeImage, user: string): { uid: number; gid: number; home: string } {
  const known = image.users[user];
  if (known !== undefined) return known;
  if (/^\d+$/.test(user)) return { uid: Number(user), gid: 0, home: '/' };
  throw error('ERR_USER_UNKNOWN', `there is no user ${user}`, { user });
}

function notRunning({ launch, state }: FakeContainer): ProvisionerError {
  const { containerId } = launch;
  return error('ERR_CONTAINER_NOT_RUNNING', `container ${containerId} does not run: it is ${state}`, { containerId });
}

function error(code: ConstructorParameters<typeof ProvisionerError>[0], message: string, details: object) {
  return new ProvisionerError(code, message, { details: { ...details } });
}
