/**
 * The steps at which a test can have the process die, as `kill -9` or a power cut would have it. Each lies right after the step that its
 * name tells. What is left then, and who puts it right, says docs/architecture.md, "Crash points".
 */
export const CRASH_POINTS = [
  'open.generationBegun',
  'open.recordsMade',
  'open.formatDrafted',
  'open.formatMade',
  'open.formatRaised',
  'pull.leased',
  'pull.unpacked',
  'pull.synced',
  'pull.oneRenamed',
  'pull.published',
  'pull.layersRecorded',
  'pull.stackCompleted',
  'pull.imageRecorded',
  'pull.unstaged',
  'provision.recorded',
  'provision.directoriesMade',
  'provision.made',
  'provision.synced',
  'provision.finished',
  'destroy.letGo',
  'destroy.detachedElsewhere',
  'destroy.removed',
  'destroy.forgotten',
  'launch.directoryMade',
  'launch.recorded',
  'launch.provisioned',
  'launch.leased',
  'launch.isolated',
  'launch.bundled',
  'launch.monitored',
  'launch.started',
  'launch.running',
  'launch.gateOpened',
  'launch.undone',
  'launch.ended',
  'launch.endRecorded',
  'launch.containerDestroyed',
  'launch.cleanedUp',
  'launch.forgotten',
  'launch.recovered',
  'health.begun',
  'health.told',
  'network.recorded',
  'network.addressed',
  'network.namespaceMade',
  'network.connected',
  'network.ready',
  'network.claimed',
  'network.disconnected',
  'network.namespaceRemoved',
  'network.released',
  'volume.recorded',
  'volume.directoryMade',
  'volume.used',
  'volume.claimed',
  'volume.copied',
  'volume.synced',
  'volume.filled',
  'volume.settled',
  'volume.removing',
  'volume.retired',
  'volume.forgotten',
  'prune.decided',
  'prune.oneMarked',
  'prune.marked',
  'prune.released',
  'sweep.started',
  'sweep.oneRemoved',
  'recover.leasesDropped',
  'recover.layersForgotten',
  'recover.layersReconciled',
  'recover.oneRemounted',
  'recover.mountsRecorded',
  'recover.containersReconciled',
  'repair.leased',
  'repair.staged',
  'repair.synced',
  'repair.parkingDrafted',
  'repair.parked',
  'repair.exchanged',
  'repair.retired',
  'repair.recorded',
  'repair.unstaged',
  'repair.unrecordedRetired',
  'records.committed',
  'tag.done',
  'rmi.done',
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

const [wanted, occurrence = '1'] = process.env['PROVISIONER_CRASH_AT']?.split(':') ?? [];
let passes = 0;

/**
 * Does nothing, unless the environment variable PROVISIONER_CRASH_AT names this point: then the process is killed here, or with `NAME:n` when it passes here
 * for the n-th time. For tests.
 */
export const crashPoint: (name: CrashPoint) => void =
  wanted === undefined
    ? () => {}
    : (name) => {
        if (name === wanted && ++passes === Number(occurrence)) process.kill(process.pid, 'SIGKILL');
      };
