import { existsSync } from 'node:fs';
import type { MountSpec } from '../../../containerizer/index.js';
import { UsageError } from '../../usage-error.js';

/** Docker's and podman's words for giving the source another label of SELinux. */
const LABELS = ['z', 'Z'];
const KNOWN = ['ro', 'rw', 'exec', 'noexec', 'rprivate', 'private', ...LABELS];

/** There in every mode of SELinux, and nowhere without it. */
const hasSelinux = () => existsSync('/sys/fs/selinux/enforce');

/** Of `--volume`: a path of this machine, the name of a volume, or nothing but a target. @param hasLabels whether SELinux is enabled on this machine @throws UsageError */
export function volumeOf(text: string, hasLabels: () => boolean = hasSelinux): MountSpec {
  const parts = text.split(':');
  const isAnonymous = parts.length === 1;
  const [source = '', target = '', options = '', ...more] = isAnonymous ? ['', ...parts] : parts;
  const isPath = source.startsWith('/');
  // Docker takes `./data` for a path too; where that is depends on where the command is given.
  const isName = !isPath && /^[^./][^/]*$/.test(source);
  if (!(isPath || isName || isAnonymous) || !target.startsWith('/') || more.length > 0) {
    throw new UsageError(
      `--volume: not a source and a target: ${JSON.stringify(text)}`,
      'write /of/this/machine:/in/the/container, or NAME:/in/the/container for a volume, with :ro behind it where it is not to be written',
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
      isPath
        ? `leave out ${label}, and label the source once by hand: chcon -R -t container_file_t ${source}`
        : `leave out ${label}`,
    );
  }
  return {
    type: isPath ? 'bind' : 'volume',
    ...(isAnonymous ? {} : { source }),
    target,
    readOnly: words.includes('ro'),
    ...(words.includes('noexec') ? { exec: false } : {}),
  };
}
