import { existsSync } from 'node:fs';
import type { MountSpec } from '../../containerizer/index.js';
import { UsageError } from '../usage-error.js';

/** Docker's and podman's words for giving the source another label of SELinux. */
const LABELS = ['z', 'Z'];
const KNOWN = ['ro', 'rw', 'exec', 'noexec', 'rprivate', 'private', ...LABELS];

/** There in every mode of SELinux, and nowhere without it. */
const hasSelinux = () => existsSync('/sys/fs/selinux/enforce');

/** Of `--volume`. @param hasLabels whether SELinux is enabled on this machine @throws UsageError */
export function volumeOf(text: string, hasLabels: () => boolean = hasSelinux): MountSpec {
  const [source = '', target = '', options = '', ...more] = text.split(':');
  if (!source.startsWith('/') || !target.startsWith('/') || more.length > 0) {
    throw new UsageError(
      `--volume: not a source and a target: ${JSON.stringify(text)}`,
      'write /of/this/machine:/in/the/container, with :ro behind it where it is not to be written; volumes by name are not known',
    );
  }
  const words = options === '' ? [] : options.split(',');
  const unknown = words.find((word) => !KNOWN.includes(word));
  if (unknown !== undefined)
    throw new UsageError(`--volume: unknown option ${JSON.stringify(unknown)}`, `there are: ${KNOWN.join(', ')}`);
  const label = words.find((word) => LABELS.includes(word));
  // Whoever asks for it counts on it. Without SELinux there is nothing that a label could forbid.
  if (label !== undefined && hasLabels()) {
    throw new UsageError(
      `--volume: no labels of SELinux are given here, as ${label} asks for`,
      `leave out ${label}, and label the source once by hand: chcon -R -t container_file_t ${source}`,
    );
  }
  return {
    type: 'bind',
    source,
    target,
    readOnly: words.includes('ro'),
    ...(words.includes('noexec') ? { exec: false } : {}),
  };
}
