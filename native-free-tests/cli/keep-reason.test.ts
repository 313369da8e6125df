import { describe, expect, it } from 'vitest';
import { formatReason } from '#src/cli/output/keep-reason.js';
import type { KeepReason } from '#src/index.js';

const image = `sha256:${'ab12'.repeat(16)}`;

describe('a reason', () => {
  it.each<[KeepReason, string]>([
    [{ kind: 'excluded', pattern: 'app:*' }, 'excluded by "app:*"'],
    [{ kind: 'pinned' }, 'pinned'],
    [{ kind: 'container', container: 'pod/a', owner: 'ci' }, 'used by container pod/a of ci'],
    [{ kind: 'pull', pull: 'p', pid: 4711, since: 40_000 }, 'needed by a pull of process 4711 for 60 seconds'],
    [{ kind: 'image', image, names: ['app:v1', 'app:v2'] }, 'a layer of image app:v1'],
    [{ kind: 'image', image, names: [] }, 'a layer of image ab12ab12ab12'],
    [{ kind: 'recent', lastUsedAt: 95_000 }, 'used 5 seconds ago'],
    [{ kind: 'budget' }, 'fits into the size to keep'],
    [{ kind: 'changed' }, 'taken up while the prune was deciding'],
  ])('%j ends the sentence', (reason, text) => {
    expect(formatReason(reason, 100_000)).toBe(text);
  });
});
