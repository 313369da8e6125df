import type { KeepReason } from '../../index.js';
import { formatAge } from './human-units.js';
import { shortDigest } from './short-digest.js';

/** Why something stays, as the end of a sentence that begins with `kept: `. */
export function formatReason(reason: KeepReason, now = Date.now()): string {
  switch (reason.kind) {
    case 'excluded':
      return `excluded by ${JSON.stringify(reason.pattern)}`;
    case 'pinned':
      return 'pinned';
    case 'container':
      return `used by container ${reason.container} of ${reason.owner}`;
    case 'pull':
      return `needed by a pull of process ${reason.pid} for ${formatAge(now - reason.since)}`;
    case 'image':
      return `a layer of image ${reason.names[0] ?? shortDigest(reason.image)}`;
    case 'recent':
      return `used ${formatAge(now - reason.lastUsedAt)} ago`;
    case 'wing':
      return `kept by ${reason.wing}: ${reason.reason}`;
    case 'budget':
      return 'fits into the size to keep';
    case 'changed':
      return 'taken up while the prune was deciding';
    case 'failed':
      return 'its directory cannot be taken away';
  }
}
