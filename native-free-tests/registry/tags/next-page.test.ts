import { expect, it } from 'vitest';
import { nextPage } from '#src/registry/tags/next-page.js';

it.each([
  ['a path', '</v2/app/tags/list?last=b&n=2>; rel="next"', '?last=b&n=2'],
  ['a query alone', '<?last=b>; rel=next', '?last=b'],
  ['a relative path', '<list?last=b>;rel="next"', '?last=b'],
  ['a whole URL, whose host has no say', '<https://evil.example/v2/app/tags/list?last=b>; rel="next"', '?last=b'],
  ['another link before it', '</a?x=1>; rel="prev", </b?last=b>; rel="next"', '?last=b'],
  ['several relations', '</b?last=b>; title="x; rel=\\"prev\\""; rel="last next"', '?last=b'],
  ['commas in the URL', '</b?last=a,b>; rel="next"', '?last=a,b'],
  ['capitals', '</b?last=b>; REL="Next"', '?last=b'],
  ['a link that does not say what it is', '</b?last=b>', '?last=b'],
  ['single quotes', "</b?last=b>; rel='next'", '?last=b'],
  ['no brackets', '/v2/app/tags/list?last=b&n=2; rel="next"', '?last=b&n=2'],
  ['half of its brackets', '</v2/app/tags/list?last=b; rel="next"', '?last=b'],
  ['spaces and a fragment', '</b?last=a b#c>; rel="next"', '?last=a%20b'],
])('the next page is found in %s', (_, header, query) => {
  expect(nextPage([header])).toBe(query);
});

it.each([
  ['no link', ''],
  ['a link to something else', '</b?last=b>; rel="prev"'],
  ['a word that only begins so', '</b?last=b>; rel="nextish"'],
  ['a title that says so', '</b?last=b>; title="rel=next"; rel="first"'],
  ['no query', '</v2/app/tags/list>; rel="next"'],
  ['an empty query', '</v2/app/tags/list?>; rel="next"'],
  ['a link to something else that is no query', '</b>'],
])('there is none in %s', (_, header) => {
  expect(nextPage([header])).toBeUndefined();
});

it('the lines of a header are one list', () => {
  expect(nextPage(['</a>; rel="first"', '</b?last=b>; rel="next"'])).toBe('?last=b');
  expect(nextPage([])).toBeUndefined();
});

it('a header of a megabyte is read in no time', () => {
  const started = performance.now();
  for (const part of ['<', '<>', '<>;', '<>; a="', '<>;a=b ', '</a?b>; rel=', ' ; '])
    nextPage([part.repeat(1_000_000 / part.length)]);
  expect(performance.now() - started).toBeLessThan(5_000);
});
