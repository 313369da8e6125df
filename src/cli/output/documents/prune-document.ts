import type { JudgedImage, PruneReport } from '../../../index.js';

/** What `prune` removed, or would remove, in `--json`; `docs/cli.md` promises this shape. */
export function pruneDocument({
  dryRun,
  images,
  layers,
  staging,
  yielded,
  failed,
  bytesFreed,
  lockWaited,
  lockHeld,
}: PruneReport) {
  const isGone = ({ reasons }: { readonly reasons: JudgedImage['reasons'] }) => reasons.length === 0;
  return {
    dryRun,
    bytesFreed,
    lock: { waitedMilliseconds: lockWaited, heldMilliseconds: lockHeld },
    removed: {
      images: images.filter(isGone).map(({ id, names }) => ({ id, names })),
      layers: layers.filter(isGone).map(({ id, bytes }) => ({ id, bytes })),
      staging,
      containers: yielded,
    },
    kept: {
      images: images.filter((image) => !isGone(image)).map(({ id, names, reasons }) => ({ id, names, reasons })),
      layers: layers.filter((layer) => !isGone(layer)).map(({ id, bytes, reasons }) => ({ id, bytes, reasons })),
    },
    failed,
  };
}
