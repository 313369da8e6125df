import type { CounterTable } from './counter-table.js';

/** What is counted of images, containers and the store. */
export const LIBRARY_COUNTERS = {
  pullsBegun: {
    meaning:
      'Pulls and loads that this provisioner has run itself; who waits for the same pull of another call or process runs none.',
    unit: 'pulls',
  },
  pullsFinished: { meaning: 'Those that have stored all that was asked for.', unit: 'pulls' },
  pullsFailed: { meaning: 'Those that have not, the ones that were given up among them.', unit: 'pulls' },
  layersUnpacked: { meaning: 'Layers that were read from their source, checked and unpacked.', unit: 'layers' },
  layerBytesRead: {
    meaning:
      'What was read for that, as it lies in the source, compressed or not; of failed pulls as well. Not what was read again after a broken connection.',
    unit: 'bytes',
  },
  provisions: { meaning: 'Root filesystems made for containers.', unit: 'root filesystems' },
  provisionErrors: {
    meaning:
      'Calls that were to make one and failed, for instance at the pull; not those that were given up, or refused because the container is another owner’s.',
    unit: 'calls',
  },
  destroys: { meaning: 'Containers destroyed, by a call or by a recovery.', unit: 'containers' },
  removeContainerErrors: {
    meaning: 'Destroys that failed; not those that were given up, or refused because the container is another owner’s.',
    unit: 'destroys',
  },
  recoveries: { meaning: 'Recoveries that came to their end.', unit: 'recoveries' },
  remounts: { meaning: 'Root filesystems that recoveries mounted again.', unit: 'root filesystems' },
  prunes: { meaning: 'Prunes that came to their end; dry runs are none.', unit: 'prunes' },
  prunedImages: { meaning: 'Images that they removed.', unit: 'images' },
  prunedLayers: { meaning: 'Layers that they removed.', unit: 'layers' },
  sweptEntries: { meaning: 'Files and directories that were deleted of what had been removed.', unit: 'names' },
  sweptBytes: { meaning: 'Disk space that this gave back, as `du` counts it.', unit: 'bytes' },
  sweepFailures: {
    meaning:
      'Attempts to delete something that failed; each is made again later, and counts again when it fails again.',
    unit: 'attempts',
  },
  longWaits: {
    meaning:
      'Waits for the lock of the store, for another process that makes the same container, or for a stopped one that pulls the same, of which a warning told that they take long.',
    unit: 'waits',
  },
  warnings: { meaning: 'Warnings of any kind.', unit: 'warnings' },
} as const satisfies CounterTable;
