import { describe, expect, it } from 'vitest';
import { parseExclusions } from '#src/prune/exclusion.js';

const id = `sha256:${'abc123'.padEnd(64, '0')}`;
const app = { id, names: ['docker.io/library/app:v1', 'ghcr.io/me/team/app:stable'] };
const nameless = { id, names: [] };

describe('an exclusion', () => {
  it.each([
    'app:v1',
    'docker.io/library/app:v1',
    'library/app:v1',
    'ghcr.io/me/team/app:stable',
    id,
    `app@${id}`,
    `other.example/elsewhere@${id}`,
    'abc',
    'abc123',
    'sha256:abc',
    id.slice('sha256:'.length),
    'app:*',
    'app*',
    '*',
    '*app:v1',
    'docker.io/library/app:*',
    'library/app:v?',
    'app:v[0-9]',
    'app:{v1,v2}',
    'ghcr.io/*',
    'ghcr.io/me/*',
    '*:stable',
  ])('%s keeps the image that it names, and is told as it was written', (pattern) => {
    expect(parseExclusions([pattern])(app)).toBe(pattern);
  });

  it.each([
    'app',
    'app:v2',
    'app:v',
    'other:v1',
    'ghcr.io/library/app:v1',
    'ghcr.io/me/team/app',
    `sha256:${'f'.repeat(64)}`,
    `app@sha256:${'f'.repeat(64)}`,
    'abd',
    'bc123',
    'abc1234',
    'app:v[2-9]',
    'app:{v2,v3}',
    'pp:*',
    'quay.io/*',
    'ghcr.io/?',
    'APP:*',
    '!app:*x',
    'sha256:ab*',
  ])('%s does not keep an image of other names, which is no error', (pattern) => {
    expect(parseExclusions([pattern])(app)).toBeUndefined();
  });

  it('by digest or its digits keeps an image without names; one by name or pattern does not', () => {
    for (const pattern of [id, `app@${id}`, 'abc1']) expect(parseExclusions([pattern])(nameless)).toBe(pattern);
    for (const pattern of ['app:v1', '*']) expect(parseExclusions([pattern])(nameless)).toBeUndefined();
  });

  it('may mean a name or the digits of an id, and then keeps both', () => {
    const cafe = parseExclusions(['cafe']);
    expect(cafe({ id: `sha256:${'cafe'.padEnd(64, '0')}`, names: [] })).toBe('cafe');
    expect(cafe({ id, names: ['docker.io/library/cafe:latest'] })).toBe('cafe');
    expect(cafe({ id, names: ['docker.io/library/cafe:v1'] })).toBeUndefined();
  });

  it('is the first of several that fits', () => {
    const exclusion = parseExclusions(['none', 'app:*', 'app:v1']);
    expect(exclusion(app)).toBe('app:*');
    expect(parseExclusions([])(app)).toBeUndefined();
  });

  it.each(['', ' ', 'a b', 'UPPER', 'app:', '-x', 'app@sha256:12', 'a//b', `${'0'.repeat(65)}:`, '../etc'])(
    '%j is no reference and refused, whatever stands before it',
    (pattern) => {
      expect(() => parseExclusions(['app:v1', pattern])).toThrow(
        expect.objectContaining({ code: 'ERR_BAD_REFERENCE' }),
      );
    },
  );

  it.each(['[', '{', 'keep:[v1', 'keep:{v1'])(
    '%j, of which a bracket is never closed, is refused: it would keep nothing',
    (pattern) => {
      expect(() => parseExclusions([pattern])).toThrow(expect.objectContaining({ code: 'ERR_BAD_REFERENCE' }));
    },
  );

  it.each(['[', '{', '*(', '[[', '{a', 'app:[', '('.padEnd(200, '(')])(
    '%j, which is no proper pattern, keeps nothing and takes no time',
    (pattern) => {
      const started = performance.now();
      let kept: string | undefined;
      try {
        kept = parseExclusions([pattern])(app);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_BAD_REFERENCE' });
      }
      expect(kept).toBeUndefined();
      expect(performance.now() - started).toBeLessThan(200);
    },
  );
});
