import { expect, it } from 'vitest';
import { TagList } from '#src/registry/tags/tag-list.js';

const ASKED = { subject: 'the repository app', host: 'r.example' };

it('a list has each tag once, in the order in which they came', () => {
  const list = new TagList(Number.POSITIVE_INFINITY);
  expect(list.next).toBe('');
  list.add(['b', 'a'], '?last=a', ASKED);
  expect(list.next).toBe('?last=a');
  list.add(['a', 'c'], undefined, ASKED);
  expect([list.tags, list.next]).toEqual([['b', 'a', 'c'], undefined]);
});

it('a list asks for no more than it is to have', () => {
  const list = new TagList(3);
  list.add(['a', 'b'], '?last=b', ASKED);
  list.add(['b', 'c', 'd'], '?last=d', ASKED);
  expect([list.tags, list.next]).toEqual([['a', 'b', 'c'], undefined]);
  expect(new TagList(0).next).toBeUndefined();
});

it('pages are known again by queries of any length, which take no memory', () => {
  const list = new TagList(Number.POSITIVE_INFINITY);
  const query = (page: number) => `?last=${page}${'x'.repeat(100_000)}`;
  list.add(['a'], query(1), ASKED);
  list.add(['b'], query(2), ASKED);
  expect(() => list.add(['c'], query(1), ASKED)).toThrow('come to no end');
});

it('a list that grows without end is given up', () => {
  const list = new TagList(Number.POSITIVE_INFINITY);
  const pages = () => {
    for (let page = 0; page < 2_000; page++) {
      const tags = Array.from({ length: 1000 }, (_, n) => `${page}-${n}`);
      list.add(tags, `?last=${page}`, ASKED);
    }
  };
  expect(pages).toThrow(expect.objectContaining({ code: 'ERR_LIMIT_EXCEEDED' }));
  const slow = new TagList(Number.POSITIVE_INFINITY);
  const steps = () => {
    for (let page = 0; page < 100_000; page++) slow.add([`${page}`], `?last=${page}`, ASKED);
  };
  expect(steps).toThrow(expect.objectContaining({ code: 'ERR_LIMIT_EXCEEDED' }));
});
