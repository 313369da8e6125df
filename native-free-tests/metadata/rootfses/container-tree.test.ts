import { describe, expect, it } from 'vitest';
import { ancestors, isInTree, rangeBelow } from '#src/metadata/rootfses/container-tree.js';

describe('the tree of containers', () => {
  it('ancestors are told nearest first', () => {
    expect(ancestors('a')).toEqual([]);
    expect(ancestors('a/b')).toEqual(['a']);
    expect(ancestors('a/b.c/d')).toEqual(['a/b.c', 'a']);
  });

  it('the range below a container holds exactly the ids that lie below it', () => {
    const { first, end } = rangeBelow('a');
    const ids = ['a', 'a/b', 'a/Z', 'a/0', 'a/b/c', 'a-b', 'a.b', 'a0', 'ab', 'A/b', 'b'];
    const inRange = ids.filter((id) => id >= first && id < end);
    expect(inRange).toEqual(['a/b', 'a/Z', 'a/0', 'a/b/c']);
    expect(ids.filter((id) => isInTree(id, 'a'))).toEqual(['a', ...inRange]);
  });
});
