import type { ContainerEvent, ContainerEventKind } from '../../containerizer/index.js';
import { timestamp } from '../output/documents/image-document.js';
import { UsageError } from '../usage-error.js';

/** One event for people, as Docker and podman show theirs. */
export function eventLine({ at, kind, containerId, imageName, details }: ContainerEvent): string {
  const words = [...(imageName === undefined ? [] : [`image=${imageName}`]), ...Object.entries(details).flatMap(word)];
  return `${timestamp(at)} ${kind} ${containerId}${words.length === 0 ? '' : ` (${words.join(', ')})`}`;
}

/** Figures, which stand in JSON. */
const LEFT_OUT = ['peakMemory', 'cpuTime', 'startedAt', 'finishedAt'];

function word([name, value]: [string, unknown]): string[] {
  if (LEFT_OUT.includes(name) || (name === 'oomKills' && value === 0)) return [];
  return [`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`];
}

/** All that this release records. */
const KINDS: readonly string[] = Object.keys({
  create: true,
  start: true,
  'start-failed': true,
  oom: true,
  exit: true,
  pause: true,
  resume: true,
  update: true,
  kill: true,
  stop: true,
  undead: true,
  'exec-start': true,
  'exec-end': true,
  health: true,
  destroy: true,
} satisfies Record<ContainerEventKind, true>);

const FITS: Readonly<Record<string, (event: ContainerEvent, value: string) => boolean>> = {
  container: ({ containerId, launchId }, value) => containerId === value || launchId === value,
  event: ({ kind }, value) => kind === value,
  image: ({ imageName }, value) => imageName === value,
  label: ({ labels }, value) => hasLabel(labels, value),
  owner: ({ owner }, value) => owner === value,
};

/** Of one key one value must fit, of labels all: as with Docker. @param texts `KEY=VALUE` each @throws UsageError */
export function eventFilter(texts: readonly string[]): (event: ContainerEvent) => boolean {
  const values = new Map<string, string[]>();
  for (const text of texts) {
    const at = text.indexOf('=');
    const key = text.slice(0, Math.max(at, 0));
    const value = text.slice(at + 1);
    if (!Object.hasOwn(FITS, key) || value === '') {
      throw new UsageError(
        `--filter: not a filter of events: ${JSON.stringify(text)}`,
        `write KEY=VALUE; keys are: ${Object.keys(FITS).join(', ')}`,
      );
    }
    if (key === 'event' && !KINDS.includes(value)) {
      throw new UsageError(`--filter: there is no event ${JSON.stringify(value)}`, `there are: ${KINDS.join(', ')}`);
    }
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  return (event) =>
    [...values].every(([key, wanted]) => {
      const fits = (value: string) => FITS[key]?.(event, value) === true;
      return key === 'label' ? wanted.every(fits) : wanted.some(fits);
    });
}

/** `NAME`, or `NAME=VALUE`. */
function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf('=');
  const name = at < 0 ? wanted : wanted.slice(0, at);
  return Object.hasOwn(labels, name) && (at < 0 || labels[name] === wanted.slice(at + 1));
}
