/**
 * The steps at which a test can have the process die, as `kill -9` or a power cut would have it. Each lies right after the step that its
 * name tells.
 */
export const CRASH_POINTS = [
  'pull.leased',
  'pull.unpacked',
  'pull.synced',
  'pull.published',
  'pull.layersRecorded',
  'pull.imageRecorded',
  'provision.recorded',
  'provision.directoriesMade',
  'provision.made',
  'provision.finished',
  'destroy.letGo',
  'destroy.removed',
  'destroy.forgotten',
  'prune.decided',
  'prune.oneMarked',
  'prune.marked',
  'prune.released',
  'sweep.started',
  'recover.leasesDropped',
  'recover.layersReconciled',
  'recover.oneRemounted',
  'recover.containersReconciled',
  'tag.done',
  'rmi.done',
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

const wanted = process.env['PROVISIONER_CRASH_AT'];

/** Does nothing, unless the environment variable PROVISIONER_CRASH_AT names this point: then the process is killed here. For tests. */
export const crashPoint: (name: CrashPoint) => void =
  wanted === undefined
    ? () => {}
    : (name) => {
        if (name === wanted) process.kill(process.pid, 'SIGKILL');
      };
