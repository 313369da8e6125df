import { availableParallelism } from 'node:os';
import { checkArgument, listOf, text } from '../base/options/check-options.js';
import { takeOptions } from '../base/options/take-options.js';
import { unhurried } from '../base/unhurried.js';
import type { LaunchRecord, PruneOptions, PruneReport } from '../index.js';
import { orAborted } from '../system/locks/or-aborted.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import type {
  Attachment,
  AttachOptions,
  Containerizer,
  ContainerRecovery,
  ContainerStats,
  ControlOptions,
  CreateOptions,
  DestroyContainerOptions,
  ExecOptions,
  Execution,
  ForkContainerOptions,
  Forked,
  Launch,
  LaunchCondition,
  Launched,
  LaunchOptions,
  Lease,
  Reached,
  ReadyContainers,
  RecoverContainersOptions,
  SpecOptions,
  StartOptions,
  StopOptions,
  WaitOptions,
} from './containerizer.js';
import type { ContainerEvent, EventSelection } from './events/container-event.js';
import { EventStream } from './events/event-stream.js';
import { Executor } from './execs/executor.js';
import type { ContainerFiles } from './files/container-files.js';
import { ContainerRoots } from './files/container-roots.js';
import { FilesOfContainer } from './files/files-of-container.js';
import { HealthChecks } from './health/health-checks.js';
import { waitUntil } from './health/wait-until.js';
import type { Isolators } from './isolators/isolators.js';
import type { LaunchLimits } from './launch-spec.js';
import { Forks } from './launches/beginnings/forks.js';
import { Halts } from './launches/beginnings/halts.js';
import { Controls } from './launches/controls.js';
import { Endings } from './launches/endings.js';
import { HostResolvers } from './launches/host-resolvers.js';
import type { Exit } from './launches/kept/exit.js';
import { readExitNote } from './launches/kept/launch-notes.js';
import { launchHolder } from './launches/launch-holder.js';
import { launchOf } from './launches/launch-of.js';
import { Launcher, type Started } from './launches/launcher.js';
import { LaunchLookup } from './launches/lookup/launch-lookup.js';
import { LaunchRecovery } from './launches/recovery.js';
import { ALL_OUTPUT, Starts } from './launches/starts.js';
import { UnderWay } from './launches/under-way.js';
import type { LeaseTable } from './leases/lease-table.js';
import type { LogEntry } from './logs/log-entry.js';
import type { LogSelection } from './logs/read-log.js';
import type { Closing, Machine } from './machine.js';
import type { ContainerNetworks } from './networks/container-networks.js';
import * as o from './options.js';
import { type ContainerProcess, readProcesses } from './processes/container-processes.js';
import { usersInside } from './processes/users-inside.js';
import { pruneImages } from './ready/prune-images.js';
import { ReadyLaunches } from './ready/ready-launches.js';
import { warmContainers } from './ready/warm-records.js';
import { Attachments } from './terminals/attachments.js';

/** Milliseconds from the wish to end until all is killed. */
const DEFAULT_GRACE = 10_000;

function checkTexts(call: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) checkArgument(call, name, text, value);
}

/** What gives launches what is not in their root filesystems. */
interface Parts {
  readonly isolators: Isolators;
  readonly leases: LeaseTable;
  readonly networks: ContainerNetworks;
  /** The machine asks others for names from now on. */
  readonly resolversChanged: () => Promise<void>;
}

/** Runs containers by an OCI runtime, with a monitor of ours beside each. */
export class OciContainerizer implements Containerizer {
  readonly networks: ContainerNetworks;
  readonly ready: ReadyContainers;
  readonly #machine: Machine;
  readonly #owner: string;
  readonly #endings: Endings;
  readonly #launcher: Launcher;
  readonly #controls: Controls;
  readonly #halts: Halts;
  readonly #lookup: LaunchLookup;
  readonly #starts: Starts;
  readonly #forks: Forks;
  readonly #executor: Executor;
  readonly #attachments: Attachments;
  readonly #events: EventStream;
  readonly #roots: ContainerRoots;
  readonly #resolvers: HostResolvers;
  readonly #health: HealthChecks;
  readonly #isolators: Isolators;
  readonly #leases: LeaseTable;
  readonly #withdraw: () => void;
  readonly #closing: Closing;
  readonly #underWay = new UnderWay();

  constructor(
    machine: Machine,
    { isolators, leases, networks, resolversChanged }: Parts,
    owner: string,
    closing: Closing,
  ) {
    this.networks = networks;
    this.#closing = closing;
    this.#machine = machine;
    this.#owner = owner;
    this.#isolators = isolators;
    this.#leases = leases;
    this.#endings = new Endings(machine, isolators);
    this.#launcher = new Launcher(machine, this.#endings, isolators, availableParallelism() + 1);
    this.#controls = new Controls(machine, this.#endings);
    this.#halts = new Halts(machine, this.#endings, this.#controls);
    this.#executor = new Executor(machine, this.#endings);
    this.#attachments = new Attachments(this.#endings);
    this.#resolvers = new HostResolvers(machine, this.#endings, resolversChanged);
    this.#health = new HealthChecks(machine, this.#endings, this.#executor, this.#controls, availableParallelism() + 2);
    this.#events = new EventStream(machine, this.#endings);
    const shared = {
      ...{ machine, provisioner: machine.provisioner, endings: this.#endings, controls: this.#controls },
      ...{ halts: this.#halts, attachments: this.#attachments, underWay: this.#underWay, health: this.#health },
    };
    this.#lookup = new LaunchLookup({ ...shared, owner });
    const lookup = this.#lookup;
    const requireOwn = lookup.requireOwn.bind(lookup);
    this.#roots = new ContainerRoots(machine, loadTreeCalls(machine.syscalls), {
      launch: (containerId) => lookup.now(containerId),
      directory: (launchId) => this.#endings.directory(launchId),
      requireOwn,
    });
    this.ready = new ReadyLaunches({ ...shared, lookup });
    this.#starts = new Starts({
      ...{ ...shared, launcher: this.#launcher, launch: (containerId) => lookup.recorded(containerId) },
      findOwn: (containerId, anyOwner) => lookup.findOwn(containerId, anyOwner),
      watching: (started, attach, since) => this.#watching(started, attach, since),
    });
    this.#forks = new Forks({
      ...shared,
      launch: async (containerId, signal) => {
        const launch = await lookup.now(containerId);
        if (launch?.state !== 'starting') return launch;
        await this.#underWay.begun(machine.provisioner, this.#endings, launch, signal);
        return lookup.now(containerId);
      },
      requireOwn,
    });
    const end = async (launch: LaunchRecord) => this.#end(await lookup.upToDate(launch));
    this.#withdraw = machine.provisioner.containers.addHolder(launchHolder(lookup, end));
  }

  async launch(containerId: string, image: string, options: LaunchOptions = {}): Promise<Launched> {
    checkTexts('launch', { containerId, image });
    const own = takeOptions('launch', o.LAUNCH_OPTIONS, options);
    return this.#underWay.run(async () =>
      this.#watching(await this.#launcher.launch(containerId, image, own, false), own.attach, ALL_OUTPUT),
    );
  }

  async create(containerId: string, image: string, options: CreateOptions = {}): Promise<Launch> {
    checkTexts('create', { containerId, image });
    const own = takeOptions('create', o.CREATE_OPTIONS, options);
    return this.#underWay.run(async () =>
      this.#watching(await this.#launcher.launch(containerId, image, own, true), false, ALL_OUTPUT),
    );
  }

  async start(containerId: string, options: StartOptions = {}): Promise<Launched> {
    const own = takeOptions('start', o.START_OPTIONS, options);
    const launched = await this.#underWay.run(() => this.#starts.start(containerId, own));
    await this.#checkHealth(containerId);
    return launched;
  }

  async restart(containerId: string, options: StopOptions = {}): Promise<Launched> {
    const own = takeOptions('restart', o.STOP_OPTIONS, options);
    return this.#underWay.run(() => this.#starts.restart(containerId, own, own.grace ?? DEFAULT_GRACE));
  }

  async fork(containerId: string, newId: string, options: ForkContainerOptions = {}): Promise<Forked> {
    checkTexts('fork', { containerId, newId });
    const own = takeOptions('fork', o.FORK_CONTAINER_OPTIONS, options);
    return this.#underWay.run(() => this.#forks.fork(containerId, newId, own));
  }

  async spec(containerId: string, image: string, options: SpecOptions = {}): Promise<string> {
    checkTexts('spec', { containerId, image });
    const own = takeOptions('spec', o.SPEC_OPTIONS, options);
    // Loaded here: those who launch do without.
    const { specForOthers } = await import('./spec-for-others.js');
    return specForOthers(this.#machine, containerId, image, own);
  }

  /** @param since what of the output is new */
  #watching(started: Started, attach: boolean | undefined, since: Date): Launched {
    const { launch, monitorEnded, watched } = started;
    void this.#endings.watch(launch, monitorEnded, watched);
    this.#resolvers.follow(launch);
    this.#health.follow(launch);
    return this.#attachments.launched(started, attach, since);
  }

  async wait(containerId: string, options: WaitOptions = {}): Promise<Exit> {
    const { signal } = takeOptions('wait', o.WAIT_OPTIONS, options);
    const launch = await this.#lookup.find(containerId);
    const recorded = readExitNote(launch.exit);
    if (recorded !== undefined) return recorded;
    // A watch of what somebody began who has died would wait for him, as its monitor does.
    if (launch.state === 'starting')
      await this.#underWay.begun(this.#machine.provisioner, this.#endings, launch, signal);
    const now = await this.#lookup.recorded(containerId);
    const watched = now?.id === launch.id ? now : launch;
    this.#health.follow(watched);
    return orAborted(this.#endings.watch(watched), signal);
  }

  async waitUntil(
    containerId: string,
    conditions: LaunchCondition | readonly LaunchCondition[],
    options: WaitOptions = {},
  ): Promise<Reached> {
    const wanted = typeof conditions === 'string' ? [conditions] : conditions;
    checkArgument('waitUntil', 'conditions', o.CONDITIONS, wanted);
    const { signal } = takeOptions('waitUntil', o.WAIT_OPTIONS, options);
    await this.#lookup.find(containerId);
    const look = async () => {
      await this.#checkHealth(containerId);
      return this.get(containerId);
    };
    const view = { look, isCurrent: (launch: Launch) => this.#health.isCurrent(launch) };
    return waitUntil(containerId, wanted, view, signal);
  }

  /** Of the launch that a container has now. */
  async #checkHealth(containerId: string): Promise<void> {
    const launch = await this.#lookup.recorded(containerId);
    if (launch !== undefined) this.#health.follow(launch);
  }

  async exec(containerId: string, command: readonly string[], options: ExecOptions = {}): Promise<Execution> {
    checkArgument('exec', 'command', listOf(text), command);
    const own = takeOptions('exec', o.EXEC_OPTIONS, options);
    return this.#underWay.run(async () =>
      this.#executor.exec(await this.#lookup.findOwn(containerId, own.anyOwner), command, own),
    );
  }

  async *logs(containerId: string, selection: LogSelection = {}): AsyncGenerator<LogEntry, void, undefined> {
    const own = takeOptions('logs', o.LOG_SELECTION, selection);
    yield* this.#attachments.output(await this.#lookup.find(containerId), own);
  }

  async attach(containerId: string, options: AttachOptions = {}): Promise<Attachment> {
    const own = takeOptions('attach', o.ATTACH_OPTIONS, options);
    return this.#attachments.attach(await this.#lookup.findOwn(containerId, own.anyOwner), own);
  }

  async stats(containerId: string): Promise<ContainerStats> {
    const launch = await this.#lookup.find(containerId);
    const stats = this.#controls.stats(launch);
    // What has processes runs. To ask whether somebody is at it would take as long as all the rest.
    return (stats.processes ?? 0) > 0 ? stats : this.#controls.stats(await this.#lookup.upToDate(launch));
  }

  async processes(containerId: string): Promise<ContainerProcess[]> {
    const launch = await this.#lookup.upToDate(await this.#lookup.find(containerId));
    const pids = this.#controls.pids(launch);
    return readProcesses(pids, usersInside(this.#endings.directory(launch.id), this.#machine.syscalls));
  }

  async kill(containerId: string, signal: string | number = 'SIGKILL', options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('kill', o.CONTROL_OPTIONS, options);
    await this.#controls.kill(await this.#lookup.findOwn(containerId, anyOwner), signal);
  }

  async stop(containerId: string, options: StopOptions = {}): Promise<Exit> {
    const { anyOwner, signal, grace = DEFAULT_GRACE } = takeOptions('stop', o.STOP_OPTIONS, options);
    const launch = await this.#lookup.findOwn(containerId, anyOwner);
    return (
      readExitNote(launch.exit) ?? (await this.#endings.cancel(launch)) ?? this.#controls.stop(launch, signal, grace)
    );
  }

  async pause(containerId: string, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('pause', o.CONTROL_OPTIONS, options);
    const launch = await this.#lookup.findOwn(containerId, anyOwner);
    await this.#controls.pause(launch);
    this.#halts.keep(launch);
  }

  async resume(containerId: string, options: ControlOptions = {}): Promise<void> {
    const { anyOwner } = takeOptions('resume', o.CONTROL_OPTIONS, options);
    await this.#controls.resume(await this.#lookup.findOwn(containerId, anyOwner));
  }

  async update(containerId: string, limits: LaunchLimits, options: ControlOptions = {}): Promise<void> {
    checkArgument('update', 'limits', o.LIMITS, limits);
    const { anyOwner } = takeOptions('update', o.CONTROL_OPTIONS, options);
    const launch = await this.#lookup.findOwn(containerId, anyOwner);
    await this.#isolators.update(launch, limits, () => this.#controls.update(launch, limits));
  }

  async destroy(containerId: string, options: DestroyContainerOptions = {}): Promise<boolean> {
    const { anyOwner, running = 'refuse' } = takeOptions('destroy', o.DESTROY_CONTAINER_OPTIONS, options);
    const { provisioner } = this.#machine;
    const launch = await this.#lookup.recorded(containerId);
    // What is held at its gate runs nothing yet.
    const mayEnd =
      running === 'kill' || (launch !== undefined && (await this.#lookup.upToDate(launch)).state === 'created');
    if (launch !== undefined && launch.state !== 'exited' && mayEnd) {
      await this.#end(await this.#lookup.findOwn(containerId, anyOwner));
      await this.#endings.settled();
    }
    const destroyed = await provisioner.destroy(containerId, { running, anyOwner });
    if (launch === undefined) return destroyed;
    await this.#endings.forget(containerId, launch.id);
    return true;
  }

  events(selection: EventSelection = {}): AsyncGenerator<ContainerEvent, void, undefined> {
    const own = takeOptions('events', o.EVENT_SELECTION, selection);
    return this.#events.read(own, () => this.list());
  }

  files(containerId: string, options: ControlOptions = {}): ContainerFiles {
    checkArgument('files', 'containerId', text, containerId);
    const { anyOwner = false } = takeOptions('files', o.CONTROL_OPTIONS, options);
    return new FilesOfContainer(this.#roots, loadTreeCalls(this.#machine.syscalls), containerId, anyOwner);
  }

  /** Whatever state it is in. */
  async #end(launch: LaunchRecord): Promise<void> {
    if ((await this.#endings.cancel(launch)) === undefined) await this.#controls.end(launch);
  }

  async list(): Promise<Launch[]> {
    const launches: Launch[] = [];
    for await (const launch of unhurried(await this.#lookup.all())) {
      launches.push(this.#told(await this.#lookup.upToDate(launch)));
    }
    return launches;
  }

  async get(containerId: string): Promise<Launch | undefined> {
    const launch = await this.#lookup.recorded(containerId);
    return launch === undefined ? undefined : this.#told(await this.#lookup.upToDate(launch));
  }

  #told(launch: LaunchRecord): Launch {
    return { ...launchOf(launch), health: this.#health.of(launch) };
  }

  leases(): Promise<Lease[]> {
    return this.#leases.list();
  }

  async pruneImages(excludedImages: readonly string[] = [], options: PruneOptions = {}): Promise<PruneReport> {
    return pruneImages(this.#machine.provisioner, await this.#lookup.all(), excludedImages, options, this);
  }

  async recover(options: RecoverContainersOptions = {}): Promise<ContainerRecovery> {
    const { knownContainerIds: known } = takeOptions('recover', o.RECOVER_CONTAINERS_OPTIONS, options);
    // Whoever keeps containers ready takes them over, or does away with them.
    const warm = async () => (await warmContainers(this.#machine.provisioner)).map(({ containerId }) => containerId);
    const own = { knownContainerIds: known && [...known, ...(await warm())] };
    const recovery = new LaunchRecovery(this.#machine, this.#endings, this.#isolators, this.#controls, this.#halts);
    const recovered = await recovery.run(own, this.#owner);
    const launches = await this.#lookup.all();
    this.#resolvers.follow(...launches);
    this.#health.follow(...launches.filter(({ owner }) => owner === this.#owner));
    await this.#resolvers.renew();
    return recovered;
  }

  /** Ends nothing: what runs goes on, and its monitors do what is to be done at its end. What is just being started is so when this has resolved. */
  async close(): Promise<void> {
    await this.#underWay.close();
    this.#withdraw();
    this.#resolvers.close();
    await this.#health.close();
    this.#closing.begin();
    await this.#endings.close();
    await this.#isolators.close();
    this.#closing.end();
  }
}
