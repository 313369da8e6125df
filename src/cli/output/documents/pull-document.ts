import type { PullUnderWay } from '../../../index.js';
import { formatAge, formatSize } from '../human-units.js';
import { shortDigest } from '../short-digest.js';
import { timestamp } from './image-document.js';

/** A pull under way in `--json`; `docs/cli.md` promises this shape. */
export interface PullDocument {
  readonly source: string;
  readonly platform: string;
  readonly phase: PullUnderWay['phase'];
  /** Null until the source has said. */
  readonly image: string | null;
  readonly pid: number;
  readonly since: string;
  /** Compressed bytes read; those of stored layers count. */
  readonly bytes: number;
  /** Null when it is not known. */
  readonly total: number | null;
  readonly layers: readonly {
    readonly layer: string;
    readonly phase: string;
    readonly bytes: number;
    readonly total: number | null;
  }[];
}

export function pullDocument({
  source,
  platform,
  phase,
  image,
  pid,
  since,
  bytes,
  total,
  layers,
}: PullUnderWay): PullDocument {
  return {
    source,
    platform,
    phase,
    image: image ?? null,
    pid,
    since: timestamp(since),
    bytes,
    total: known(total, phase),
    layers: layers.map((layer) => ({ ...layer, total: known(layer.total) })),
  };
}

export const PULL_HEADINGS = ['SOURCE', 'PLATFORM', 'IMAGE', 'PHASE', 'LAYERS', 'BYTES', 'SINCE', 'PROCESS'] as const;

/** One row of a table. @param now milliseconds since the epoch */
export function pullRow(
  { source, platform, phase, image, pid, since, bytes, total, layers }: PullUnderWay,
  now: number,
): string[] {
  const over = layers.filter((layer) => layer.phase === 'done' || layer.phase === 'stored').length;
  const isKnown = phase !== 'resolving';
  const size = total < 0 ? '' : `/${formatSize(total)}`;
  return [
    source,
    platform,
    image === undefined ? '' : shortDigest(image),
    phase,
    isKnown ? `${over}/${layers.length}` : '',
    isKnown ? `${formatSize(bytes)}${size}` : '',
    `${formatAge(now - since)} ago`,
    String(pid),
  ];
}

function known(total: number, phase?: PullUnderWay['phase']): number | null {
  return total < 0 || phase === 'resolving' ? null : total;
}
