import { describe, expect, it } from 'vitest';
import { answerInWords, readWords } from '#src/registry/registry-words.js';

const said = (message: unknown, secrets: readonly string[] = []) =>
  readWords(JSON.stringify({ errors: [{ code: 'DENIED', message }] }), secrets).message;

describe('what a registry says of a refusal', () => {
  it('is told with its code', () => {
    const words = readWords('{"errors":[{"code":"DENIED","message":"no \\"pull\\" for you"}]}');
    expect(answerInWords(403, words)).toBe(`status 403 (DENIED), "no 'pull' for you"`);
    expect(answerInWords(500, readWords('<html>'))).toBe('status 500');
  });

  it.each(['{}', '[]', 'null', '{"errors":{}}', '{"errors":[null]}', '{"errors":[{"code":"a b","message":5}]}'])(
    'is nothing in %s',
    (body) => {
      expect(readWords(body)).toEqual({});
    },
  );

  it('has no code that is what the registry was shown', () => {
    const body = '{"errors":[{"code":"HUNTERTWOSECRET","message":"no"}]}';
    expect(readWords(body, ['HUNTERTWOSECRET'])).toEqual({ message: 'no' });
  });

  it('is its first line, safe for a terminal and not long', () => {
    expect(said('first\nsecond')).toBe('first');
    expect(said('\n  first\u2028second')).toBe('first');
    expect(said('\u001b]0;title\u0007red\u001b[31m \u202edlog\u200b')).toBe(']0;title red [31m dlog');
    expect([...(said('ä b '.repeat(1000)) ?? '')].length).toBe(201);
    expect(said('\u001b')).toBeUndefined();
  });

  it.each([
    'a3F9zQ81LmX02pKq77TtYw',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N',
    '0123456789abcdef0123456789abcdef',
    'AKIAIOSFODNN7EXAMPLEX',
    '123e4567-e89b-12d3-a456-426614174000',
  ])('does not show %s, which may be a secret', (secret) => {
    expect(said(`the thing ${secret} is not allowed`)).toBe('the thing … is not allowed');
  });

  it('shows no part of a URL that may be one, and nothing that is said to be one', () => {
    expect(said('see https://me:pw@s3.example/a/b?X-Amz-Signature=abc&x=1 for more')).toBe(
      'see https://s3.example/a/b?… for more',
    );
    expect(said('wrong password: hunter2, token=abc')).toBe('wrong password: …, token=…');
    expect(said('Authorization: Bearer abc refused')).toBe('Authorization: … refused');
  });

  it('is left out when it has anything of what was shown', () => {
    expect(said('no user of the name me with hunter22', ['hunter22'])).toBeUndefined();
    expect(said('no user with "pw"', ['pw'])).toBeUndefined();
    expect(said('pwned repository', ['pw'])).toBe('pwned repository');
  });

  it('keeps names and digests', () => {
    const digest = `sha256:${'0a'.repeat(32)}`;
    const message = `harbor01.registry.example:5000/team-2/app_3/with-long-names-2024 has no ${digest}`;
    expect(said(message)).toBe(message);
  });
});
