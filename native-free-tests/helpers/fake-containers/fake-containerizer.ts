import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { PassThrough } from 'node:stream';
import { ProvisionerError, throwIfAborted } from '#src/base/errors.js';
import { checkArgument } from '#src/base/options/check-options.js';
import { takeOptions } from '#src/base/options/take-options.js';
import type { Hierarchies } from '#src/containerizer/cgroups/hierarchies.js';
import { checkLimits, DEFAULT_PIDS } from '#src/containerizer/cgroups/limits/check-limits.js';
import type { KeptHealth } from '#src/containerizer/health/health-file.js';
import { checkAgainAndAgain } from '#src/containerizer/health/health-loop.js';
import { healthSettings } from '#src/containerizer/health/health-settings.js';
import { UNKNOWN_HEALTH } from '#src/containerizer/health/health-state.js';
import { runCheck } from '#src/containerizer/health/run-check.js';
import { waitUntil } from '#src/containerizer/health/wait-until.js';
import type {
  Attachment,
  AttachOptions,
  ContainerEvent,
  ContainerEventKind,
  ContainerFiles,
  Containerizer,
  ContainerProcess,
  ContainerRecovery,
  ContainerStats,
  ControlOptions,
  CreateOptions,
  DestroyContainerOptions,
  EventSelection,
  ExecOptions,
  Execution,
  ExecutionEnd,
  Exit,
  ForkContainerOptions,
  Forked,
  Launch,
  LaunchCondition,
  Launched,
  LaunchLimits,
  LaunchOptions,
  LaunchState,
  Lease,
  LogEntry,
  LogSelection,
  Reached,
  ReadyContainers,
  RecoverContainersOptions,
  StartOptions,
  StopOptions,
  WaitOptions,
} from '#src/containerizer/index.js';
import type { ContainerNetworks } from '#src/containerizer/networks/container-networks.js';
import * as o from '#src/containerizer/options.js';
import { relaxationsOf } from '#src/containerizer/relaxations.js';
import { signalNumber } from '#src/containerizer/signal-number.js';
import type { ImageId, PruneReport } from '#src/index.js';
import { orAborted } from '#src/system/locks/or-aborted.js';
import { type FakeClock, MACHINE_CLOCK, PausableTime } from './fake-clock.js';
import { FakeEvents } from './fake-events.js';
import { FakeLog } from './fake-log.js';
import { type FakeEnd, FakeProcess, type FakeProgram, type FakeSurroundings } from './fake-process.js';

const { SIGKILL } = constants.signals;
const WORD_SHOWN = 200;
const IMAGE_ID = `sha256:${'0'.repeat(64)}` as ImageId;
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
  /** Default: sixty-four zeros. */
  readonly id?: ImageId | undefined;
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

/** What stays from one launch to the next. */
interface FakeContainer {
  readonly id: string;
  readonly owner: string;
  readonly image: FakeImage;
  readonly imageName: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workingDir: string;
  readonly hostname: string;
  readonly options: LaunchOptions;
  readonly files: Set<string>;
  readonly removedPrograms: Set<string>;
  /** Those who read what it has printed. */
  readonly readers: Set<Promise<void>>;
  launch: FakeLaunch;
}

/** What is told of a container with each event. */
type Noted = Pick<FakeContainer, 'id' | 'owner' | 'imageName' | 'options' | 'launch'>;

/** Of a program, beside what it has in common with the others of its container. */
type OwnSurroundings = Pick<FakeSurroundings, 'command' | 'env' | 'uid' | 'gid' | 'workingDir' | 'print' | 'isFirst'>;

/** One execution of its program. */
interface FakeLaunch {
  readonly id: string;
  readonly createdAt: number;
  startedAt: number | undefined;
  state: LaunchState;
  exit: Exit | undefined;
  limits: LaunchLimits;
  /** Undefined where nothing is checked. */
  health: KeptHealth | undefined;
  readonly time: PausableTime;
  readonly log: FakeLog;
  readonly pid: number;
  lastPidInside: number;
  /** The first one first. */
  readonly processes: Set<FakeProcess>;
  /** What it ends all for. */
  by: 'time-limit' | undefined;
  readonly ended: Promise<Exit>;
  readonly end: (exit: Exit) => void;
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
  readonly events: FakeEvents;
  readonly #lost: string[] = [];
  #lastPid = 1000;

  constructor({ clock = MACHINE_CLOCK, images, programOf }: FakeMachineOptions) {
    this.clock = clock;
    this.events = new FakeEvents(clock);
    this.images = images;
    this.programOf = programOf;
  }

  containerizer(owner = 'default'): Containerizer {
    return new FakeContainerizer(this, owner);
  }

  nextPid(): number {
    return ++this.#lastPid;
  }

  note({ id, owner, imageName, options, launch }: Noted, kind: ContainerEventKind, details: object = {}): void {
    const { labels = {} } = options;
    this.events.add({ kind, containerId: id, launchId: launch.id, owner, imageName, labels, details: { ...details } });
  }

  /** @returns whether it was there */
  forget(container: FakeContainer): boolean {
    if (this.containers.get(container.id) !== container) return false;
    this.note(container, 'destroy');
    return this.containers.delete(container.id);
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
    if (container === undefined || container.launch.state === 'exited') return;
    this.#lost.push(id);
    this.over(container, { reason, oomKills: 0 });
  }

  /** Ends what runs in a container, all of it. */
  over(container: FakeContainer, how: Omit<Exit, 'startedAt'>): void {
    const { launch, options } = container;
    if (launch.state === 'exited') return;
    const { startedAt } = launch;
    const finishedAt = how.reason === 'lost-by-reboot' ? undefined : this.clock.now();
    const exit = { ...how, startedAt, ...(finishedAt === undefined ? {} : { finishedAt }) };
    Object.assign(launch, { exit, state: 'exited' });
    for (const each of launch.processes) each.send(SIGKILL);
    launch.log.close();
    if (how.oomKills > 0) this.note(container, 'oom', { oomKills: how.oomKills });
    if (how.reason === 'start-failed') this.note(container, 'start-failed');
    else this.note(container, 'exit', exit);
    if (options.remove === true) void this.#removeWhenRead(container);
    launch.end(exit);
  }

  async #removeWhenRead(container: FakeContainer): Promise<void> {
    // Whoever is told of the end may begin to read by then.
    await new Promise((resolve) => setImmediate(resolve));
    while (container.readers.size > 0) await Promise.all(container.readers);
    this.forget(container);
  }
}

class FakeContainerizer implements Containerizer {
  /** There are none, and none can be made. */
  readonly networks: ContainerNetworks = {
    list: async () => [],
    get: async () => undefined,
    create: async () => {
      throw new ProvisionerError('ERR_NETWORK_UNSUPPORTED', 'there are no networks');
    },
    remove: async () => false,
  };
  readonly ready: ReadyContainers = {
    fault: async (containerId, wanted) => {
      const state = this.#machine.containers.get(containerId)?.launch.state;
      return state === wanted ? undefined : state === undefined ? 'it is gone' : `it is ${state}`;
    },
    letGo: async (containerId, options = {}) => {
      const own = takeOptions('letGo', o.LET_GO_OPTIONS, options);
      const container = this.#findOwn(containerId, false);
      if (container.launch.state !== 'created') throw notRunning(container);
      return this.start(containerId, own);
    },
  };
  readonly #machine: FakeMachine;
  readonly #owner: string;

  constructor(machine: FakeMachine, owner: string) {
    this.#machine = machine;
    this.#owner = owner;
  }

  async launch(containerId: string, imageName: string, options: LaunchOptions = {}): Promise<Launched> {
    const own = takeOptions('launch', o.LAUNCH_OPTIONS, options);
    const container = this.#make(containerId, imageName, own);
    this.#letGo(container);
    return launchedOf(container, own, 0);
  }

  async create(containerId: string, imageName: string, options: CreateOptions = {}): Promise<Launch> {
    const own = takeOptions('create', o.CREATE_OPTIONS, options);
    const container = this.#make(containerId, imageName, own);
    container.launch.state = 'created';
    return launchOf(container);
  }

  async start(containerId: string, options: StartOptions = {}): Promise<Launched> {
    const { anyOwner, ...own } = takeOptions('start', o.START_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    const { state, log } = container.launch;
    // What it has printed so far is kept, and no news.
    const printed = log.length;
    switch (state) {
      case 'exited':
        throwIfAborted(own.signal);
        this.#again(container, own.stdin);
        return launchedOf(container, own, printed);
      case 'created':
        this.#letGo(container);
        return launchedOf(container, { attach: own.attach }, printed);
      case 'running':
        return launchedOf(container, { attach: own.attach }, printed);
      default:
        throw notRunning(container);
    }
  }

  async restart(containerId: string, options: StopOptions = {}): Promise<Launched> {
    const { anyOwner } = takeOptions('restart', o.STOP_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    if (container.options.remove === true) {
      throw error('ERR_BAD_OPTION', `container ${containerId} is removed when its program ends`, { containerId });
    }
    await this.stop(containerId, options);
    return this.start(containerId, { anyOwner });
  }

  async fork(containerId: string, newId: string, options: ForkContainerOptions = {}): Promise<Forked> {
    const { anyOwner, command, pause = true, signal } = takeOptions('fork', o.FORK_CONTAINER_OPTIONS, options);
    const source = this.#find(containerId);
    throwIfAborted(signal);
    if (pause && source.launch.state === 'running') this.#findOwn(containerId, anyOwner);
    const { imageName, options: told } = source;
    const container = this.#make(newId, imageName, { ...told, ...(command && { command }), stdin: undefined });
    for (const file of source.files) container.files.add(file);
    for (const program of source.removedPrograms) container.removedPrograms.add(program);
    Object.assign(container.launch, { state: 'exited', exit: { reason: 'forked', oomKills: 0 } });
    container.launch.log.close();
    container.launch.end({ reason: 'forked', oomKills: 0 });
    const root = { containerId: newId, rootfsId: newId, rootfs: '/', backend: 'overlay', imageId: IMAGE_ID };
    return { root, launch: launchOf(container) };
  }

  async attach(containerId: string, options: AttachOptions = {}): Promise<Attachment> {
    const { anyOwner } = takeOptions('attach', o.ATTACH_OPTIONS, options);
    this.#findOwn(containerId, anyOwner);
    throw error('ERR_NO_TERMINAL', `the program of container ${containerId} has no terminal`, { containerId });
  }

  /** There is no root filesystem that another tool could run something in. */
  async spec(): Promise<string> {
    throw error('ERR_BAD_OPTION', 'there is no store to provision from', {});
  }

  /** There is no root filesystem that files could be in. */
  files(): ContainerFiles {
    throw error('ERR_BAD_OPTION', 'there is no store that files could be in', {});
  }

  events(selection: EventSelection = {}): AsyncIterable<ContainerEvent> {
    return this.#machine.events.read(takeOptions('events', o.EVENT_SELECTION, selection));
  }

  /** A container whose program has not been begun. */
  #make(containerId: string, imageName: string, options: LaunchOptions): FakeContainer {
    checkLimits(options.limits, HIERARCHIES, FACTS);
    if (options.stopSignal) signalNumber(options.stopSignal);
    throwIfAborted(options.signal);
    const { containers } = this.#machine;
    if (containers.has(containerId)) {
      throw error('ERR_CONTAINER_EXISTS', `there is a container ${containerId} already`, { containerId });
    }
    const launch = this.#newLaunch(options, undefined);
    const noted = { id: containerId, owner: this.#owner, imageName, options, launch };
    this.#machine.note(noted, 'create');
    try {
      const container = this.#containerOf(noted);
      this.#putProgram(container, options.stdin);
      containers.set(containerId, container);
      return container;
    } catch (failure) {
      this.#machine.note(noted, 'start-failed');
      this.#machine.note(noted, 'destroy');
      throw failure;
    }
  }

  #containerOf(noted: Noted): FakeContainer {
    const { id: containerId, imageName, options } = noted;
    const image = this.#machine.images[imageName];
    if (image === undefined) throw error('ERR_IMAGE_NOT_FOUND', `there is no image ${imageName}`, { imageName });
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
    return {
      ...noted,
      image,
      command,
      env: { HOME: accountOf(image, user).home, ...image.env, ...options.env },
      user,
      workingDir,
      hostname: options.hostname ?? containerId.split('/').at(-1) ?? containerId,
      files: new Set(),
      removedPrograms: new Set(),
      readers: new Set(),
    };
  }

  #newLaunch(options: LaunchOptions, before: FakeLaunch | undefined): FakeLaunch {
    const { clock } = this.#machine;
    let end: (exit: Exit) => void = () => {};
    const ended = new Promise<Exit>((resolve) => {
      end = resolve;
    });
    return {
      id: randomBytes(16).toString('hex'),
      createdAt: clock.now(),
      startedAt: undefined,
      state: 'starting',
      exit: undefined,
      limits: options.limits ?? {},
      health: healthSettings(options.health, undefined) && UNKNOWN_HEALTH,
      time: new PausableTime(clock),
      log: new FakeLog(() => clock.now(), before?.log),
      pid: this.#machine.nextPid(),
      lastPidInside: 0,
      processes: new Set(),
      by: undefined,
      ended,
      end,
    };
  }

  /** @throws ProvisionerError when there is no such program */
  #putProgram(container: FakeContainer, stdin: LaunchOptions['stdin']): void {
    const { launch, command, env, user, workingDir, image } = container;
    const program = this.#program(container, command);
    const account = accountOf(image, user);
    const print = (stream: 'stdout' | 'stderr', text: string) => launch.log.add(stream, text);
    const own = { command, env, ...account, workingDir, print, isFirst: true };
    const main = this.#process(container, own, program);
    if (stdin !== 'pipe') main.input.end();
    void main.ended.then((end) => this.#machine.over(container, exitOf(end, launch.by)));
  }

  /** One that has not been begun. */
  #process(container: FakeContainer, own: OwnSurroundings, program: FakeProgram): FakeProcess {
    const { hostname, files, removedPrograms, launch } = container;
    const { processes, time } = launch;
    const made: FakeProcess = new FakeProcess(
      {
        ...own,
        pid: own.isFirst ? launch.pid : this.#machine.nextPid(),
        pidInside: ++launch.lastPidInside,
        startedAt: this.#machine.clock.now(),
        hostname,
        files,
        removedPrograms,
        time,
        memoryLimit: () => launch.limits.memoryBytes,
        running: () => [...processes].map((each) => each.command),
        spawn: (command, run) => {
          this.#process(container, { ...own, command, isFirst: false }, run).begin();
        },
      },
      program,
    );
    processes.add(made);
    if (!own.isFirst) void made.ended.then(() => processes.delete(made));
    return made;
  }

  /** From now on its time passes. */
  #letGo(container: FakeContainer): void {
    const { launch, options } = container;
    Object.assign(launch, { state: 'running', startedAt: this.#machine.clock.now() });
    this.#machine.note(container, 'start', { imageId: IMAGE_ID });
    mainOf(container).begin();
    this.#checkHealth(container);
    if (options.timeout === undefined) return;
    const giveUp = launch.time.after(options.timeout, () => {
      launch.by = 'time-limit';
      mainOf(container).send(SIGKILL);
    });
    void launch.ended.then(giveUp);
  }

  /** As long as it runs, by whoever has started it. */
  #checkHealth(container: FakeContainer): void {
    const { launch, options } = container;
    const settings = healthSettings(options.health, undefined);
    if (settings === undefined) return;
    const over = new AbortController();
    void launch.ended.then(() => over.abort());
    const { clock } = this.#machine;
    const isHalted = () => launch.state === 'paused';
    const exec = async (command: readonly string[], own: ExecOptions) =>
      this.#exec(container, command, own, { isTold: false });
    void checkAgainAndAgain({
      ...{ settings, clock, isHalted, startedAt: clock.now(), kept: undefined, signal: over.signal },
      check: (id, signal) => runCheck({ settings, clock, isHalted, exec, end: async () => {} }, id, signal),
      keep: (health) => {
        launch.health = health;
      },
      tell: async ({ status, failingStreak }) => this.#machine.note(container, 'health', { status, failingStreak }),
      act: async () => {
        if (settings.onFailure === 'kill') this.#killMain(container);
        if (settings.onFailure === 'stop') await this.stop(container.id, { anyOwner: true });
      },
    });
  }

  /** What has ended, once more: the same in the same place. */
  #again(container: FakeContainer, stdin: LaunchOptions['stdin']): void {
    container.launch = this.#newLaunch(container.options, container.launch);
    try {
      this.#putProgram(container, stdin);
    } catch (failure) {
      this.#machine.over(container, { reason: 'start-failed', oomKills: 0 });
      throw failure;
    }
    this.#letGo(container);
  }

  #program({ id, image, removedPrograms }: FakeContainer, command: readonly string[]): FakeProgram {
    const [name = ''] = command;
    const details = { containerId: id, program: name };
    if (image.files.some((file) => file === name || file === `${name}/`)) {
      throw error('ERR_COMMAND_NOT_EXECUTABLE', `${name} cannot be executed`, details);
    }
    const program = removedPrograms.has(name) ? undefined : this.#machine.programOf(command);
    if (program === undefined) throw error('ERR_COMMAND_NOT_FOUND', `there is no program ${name}`, details);
    return program;
  }

  async wait(containerId: string, options: WaitOptions = {}): Promise<Exit> {
    const { signal } = takeOptions('wait', o.WAIT_OPTIONS, options);
    return orAborted(this.#find(containerId).launch.ended, signal);
  }

  async waitUntil(
    containerId: string,
    conditions: LaunchCondition | readonly LaunchCondition[],
    options: WaitOptions = {},
  ): Promise<Reached> {
    const wanted = typeof conditions === 'string' ? [conditions] : conditions;
    checkArgument('waitUntil', 'conditions', o.CONDITIONS, wanted);
    const { signal } = takeOptions('waitUntil', o.WAIT_OPTIONS, options);
    const view = { look: () => this.get(containerId), isCurrent: () => true };
    return waitUntil(containerId, wanted, view, signal, this.#machine.clock);
  }

  async exec(containerId: string, command: readonly string[], options: ExecOptions = {}): Promise<Execution> {
    const own = takeOptions('exec', o.EXEC_OPTIONS, options);
    return this.#exec(this.#findOwn(containerId, own.anyOwner), command, own, { isTold: true });
  }

  #exec(
    container: FakeContainer,
    command: readonly string[],
    own: ExecOptions,
    { isTold }: { readonly isTold: boolean },
  ): Execution {
    const { image, launch } = container;
    if (launch.state !== 'running') throw notRunning(container);
    const { time } = launch;
    const program = this.#program(container, command);
    const account = accountOf(image, own.user ?? container.user);
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    const surroundings = {
      command,
      env: { ...container.env, ...(own.user === undefined ? {} : { HOME: account.home }), ...own.env },
      ...account,
      workingDir: own.workingDir ?? container.workingDir,
      print: (stream: 'stdout' | 'stderr', text: string) => streams[stream].write(text),
      isFirst: false,
    };
    const run = this.#process(container, surroundings, program).begin();
    const exec = randomBytes(8).toString('hex');
    if (isTold) this.#machine.note(container, 'exec-start', { exec, program: command[0] });
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
      for (const stream of Object.values(streams)) stream.end();
      const told = by === undefined ? executionEndOf(end) : { signal: SIGKILL, reason: by };
      if (isTold) this.#machine.note(container, 'exec-end', { exec, ...told });
      return told;
    });
    const kill = async (signal: string | number) => {
      const number = signalNumber(signal);
      if (run.hasEnded) return false;
      run.send(number);
      return true;
    };
    return { ...streams, ...(own.stdin === 'pipe' ? { stdin: run.input } : {}), ended, kill };
  }

  async *logs(containerId: string, selection: LogSelection = {}): AsyncGenerator<LogEntry, void, undefined> {
    const own = takeOptions('logs', o.LOG_SELECTION, selection);
    yield* readingAll(this.#find(containerId), own, 0);
  }

  async stats(containerId: string): Promise<ContainerStats> {
    const container = this.#find(containerId);
    if (!isUp(container)) throw notRunning(container);
    const { limits, processes, startedAt } = container.launch;
    return {
      memory: 2 ** 20 * processes.size,
      peakMemory: 2 ** 20 * processes.size,
      memoryLimit: limits.memoryBytes,
      cpuTime: Math.max(1, this.#machine.clock.now() - (startedAt ?? 0)) * 1000,
      processes: processes.size,
      processLimit: limits.pids ?? DEFAULT_PIDS,
      oomKills: 0,
    };
  }

  async processes(containerId: string): Promise<ContainerProcess[]> {
    const container = this.#find(containerId);
    if (!isUp(container)) throw notRunning(container);
    const users = Object.entries(container.image.users);
    return [...container.launch.processes].map(({ pid, pidInside, uid, command, startedAt }) => ({
      pid,
      pidInside,
      uid,
      user: users.find(([, account]) => account.uid === uid)?.[0],
      state: 'S',
      cpuTime: 0,
      elapsed: this.#machine.clock.now() - startedAt,
      name: command[0] ?? '',
      command,
    }));
  }

  async kill(containerId: string, signal: string | number = 'SIGKILL', options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('kill', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    const number = signalNumber(signal);
    if (!hasProgram(container)) throw notRunning(container);
    this.#machine.note(container, 'kill', { signal: number });
    mainOf(container).send(number);
    await settled();
  }

  async stop(containerId: string, options: StopOptions = {}): Promise<Exit> {
    const { anyOwner, signal, grace = DEFAULT_GRACE } = takeOptions('stop', o.STOP_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    const { launch } = container;
    if (launch.exit !== undefined) return launch.exit;
    const main = mainOf(container);
    const asking = signalNumber(signal ?? (container.options.stopSignal || 'SIGTERM'));
    // What is held at its gate heeds nothing.
    if (launch.state === 'created') {
      this.#killMain(container);
      return launch.ended;
    }
    this.#machine.note(container, 'stop', { grace });
    main.send(asking);
    this.#resume(container);
    const giveUp = this.#machine.clock.after(grace, () => this.#killMain(container));
    try {
      return await launch.ended;
    } finally {
      giveUp();
    }
  }

  async pause(containerId: string, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('pause', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    const { launch } = container;
    if (launch.state === 'paused') return;
    if (launch.state !== 'running') throw notRunning(container);
    launch.time.pause();
    launch.state = 'paused';
    this.#machine.note(container, 'pause');
  }

  async resume(containerId: string, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('resume', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    if (!hasProgram(container)) throw notRunning(container);
    this.#resume(container);
  }

  /** Whatever state it is in. */
  #killMain(container: FakeContainer): void {
    if (container.launch.state === 'exited') return;
    this.#machine.note(container, 'kill', { signal: SIGKILL });
    mainOf(container).send(SIGKILL);
  }

  #resume(container: FakeContainer): void {
    const { launch } = container;
    if (launch.state !== 'paused') return;
    launch.state = 'running';
    this.#machine.note(container, 'resume');
    launch.time.resume();
    for (const each of launch.processes) each.heedHeld();
  }

  async update(containerId: string, limits: LaunchLimits, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('update', o.CONTROL_OPTIONS, options);
    const container = this.#findOwn(containerId, anyOwner);
    checkLimits(limits, HIERARCHIES, FACTS, { update: true });
    if (!isUp(container)) throw notRunning(container);
    container.launch.limits = { ...container.launch.limits, ...limits };
    this.#machine.note(container, 'update', limits);
  }

  async destroy(containerId: string, options: DestroyContainerOptions = {}): Promise<boolean> {
    const { anyOwner, running = 'refuse' } = takeOptions('destroy', o.DESTROY_CONTAINER_OPTIONS, options);
    const { containers } = this.#machine;
    const all = [...containers.keys()].filter((id) => id === containerId || id.startsWith(`${containerId}/`));
    for (const id of all) this.#findOwn(id, anyOwner);
    for (const id of all.sort().reverse()) {
      const container = containers.get(id) as FakeContainer;
      const { state, ended } = container.launch;
      if (hasProgram(container) && running === 'refuse') {
        throw error('ERR_CONTAINER_RUNNING', `container ${id} is ${state}`, { containerId: id });
      }
      this.#killMain(container);
      await ended;
      this.#machine.forget(container);
    }
    return all.length > 0;
  }

  /** Nothing here is anybody's own. */
  async leases(): Promise<Lease[]> {
    return [];
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
    const mine = [...this.#machine.containers.values()].filter(({ owner }) => owner === this.#owner);
    // What runs is known, whoever asks.
    const isUnknown = (one: FakeContainer) => knownContainerIds?.includes(one.id) === false && !hasProgram(one);
    const ended: string[] = [];
    for (const one of mine.filter((each) => isUnknown(each) && isUp(each))) {
      this.#killMain(one);
      await one.launch.ended;
      ended.push(one.id);
    }
    const running = mine.filter(isUp).map(({ id }) => id);
    const unknown = mine.filter(isUnknown).map(({ id }) => id);
    for (const id of unknown) this.#machine.forget(this.#find(id));
    return {
      running: running.sort(),
      ended,
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
    const { owner } = container;
    if (owner === this.#owner || anyOwner === true) return container;
    throw error('ERR_CONTAINER_FOREIGN', `container ${containerId} belongs to ${owner}`, { containerId, owner });
  }
}

/** Runs, or is held before that. */
const isUp = ({ launch }: FakeContainer) => launch.state === 'created' || hasProgram({ launch });

const hasProgram = ({ launch }: Pick<FakeContainer, 'launch'>) =>
  launch.state === 'running' || launch.state === 'paused';

/** The first process. */
function mainOf({ launch }: FakeContainer): FakeProcess {
  const [main] = launch.processes;
  if (main === undefined) throw new Error(`launch ${launch.id} has no program`);
  return main;
}

/** What a signal, a look or a function of the test has begun. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

function launchOf({ id, owner, image, imageName, command, options, launch }: FakeContainer): Launch {
  const { state, createdAt, startedAt, exit, pid, health } = launch;
  return {
    containerId: id,
    launchId: launch.id,
    owner,
    state,
    image: image.id ?? IMAGE_ID,
    imageName,
    command: command.map((word) => (word.length > WORD_SHOWN ? `${word.slice(0, WORD_SHOWN)}…` : word)),
    pid: state === 'exited' ? undefined : pid,
    createdAt,
    startedAt,
    labels: options.labels ?? {},
    relaxed: relaxationsOf(options),
    hasTerminal: options.terminal !== undefined,
    health: health && { status: health.status, failingStreak: health.failingStreak, results: health.results },
    exit,
  };
}

/** @param printed what of its output was there before */
function launchedOf(
  container: FakeContainer,
  { stdin, attach }: Pick<LaunchOptions, 'stdin' | 'attach'>,
  printed: number,
): Launched {
  return {
    ...launchOf(container),
    ...(stdin === 'pipe' ? { stdin: mainOf(container).input } : {}),
    ...(attach === true ? { output: readingAll(container, { follow: true }, printed) } : {}),
  };
}

/** What is to be removed stays until it has been read, or whoever reads has seen enough. */
function readingAll(container: FakeContainer, selection: LogSelection, from: number): AsyncIterable<LogEntry> {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = () => {
      container.readers.delete(held);
      resolve();
    };
  });
  container.readers.add(held);
  const entries = container.launch.log.read(selection, from);
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

function notRunning({ id, launch }: FakeContainer): ProvisionerError {
  const message = `container ${id} does not run: it is ${launch.state}`;
  return error('ERR_CONTAINER_NOT_RUNNING', message, { containerId: id });
}

function error(code: ConstructorParameters<typeof ProvisionerError>[0], message: string, details: object) {
  return new ProvisionerError(code, message, { details: { ...details } });
}
