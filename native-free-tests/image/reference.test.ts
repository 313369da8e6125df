import { describe, expect, it } from 'vitest';
import { isProvisionerError } from '#src/base/errors.js';
import { formatReference, normaliseReference, parseReference } from '#src/image/reference.js';

const HEX = '0123456789abcdef'.repeat(4);
const DIGEST = `sha256:${HEX}`;

describe('a reference is normalised as Docker does', () => {
  it.each([
    ['app', 'docker.io/library/app:latest'],
    ['app:v1', 'docker.io/library/app:v1'],
    ['me/app', 'docker.io/me/app:latest'],
    ['me/deep/app:v1', 'docker.io/me/deep/app:v1'],
    ['docker.io/app', 'docker.io/library/app:latest'],
    ['docker.io/me/app', 'docker.io/me/app:latest'],
    ['index.docker.io/app', 'docker.io/library/app:latest'],
    ['index.docker.io/me/app:v1', 'docker.io/me/app:v1'],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000/x', 'localhost:5000/x:latest'],
    ['127.0.0.1:5000/a/b:t', '127.0.0.1:5000/a/b:t'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    ['[2001:db8::1]/a:t', '[2001:db8::1]/a:t'],
    ['ghcr.io/owner/app:v1', 'ghcr.io/owner/app:v1'],
    ['registry:5000/app', 'registry:5000/app:latest'],
    ['Host/app', 'Host/app:latest'],
    ['localhost:5000', 'docker.io/library/localhost:5000'],
    ['app_1-2x/y__z.1/a---b', 'docker.io/app_1-2x/y__z.1/a---b:latest'],
    ['app:V1.2_3-RC', 'docker.io/library/app:V1.2_3-RC'],
    [`app@${DIGEST}`, `docker.io/library/app@${DIGEST}`],
    [`quay.io/me/app@sha512:${HEX}${HEX}`, `quay.io/me/app@sha512:${HEX}${HEX}`],
  ])('%s is %s', (text, full) => {
    expect(normaliseReference(text)).toBe(full);
  });

  it('the full form is its own full form', () => {
    for (const text of ['app', 'localhost/x', '[::1]:5000/a:t', `me/app@${DIGEST}`]) {
      const full = normaliseReference(text);
      expect(normaliseReference(full)).toBe(full);
    }
  });
});

describe('the parts of a reference', () => {
  it('name registry and repository, and no tag that the text does not have', () => {
    expect(parseReference('app')).toEqual({ registry: 'docker.io', repository: 'library/app' });
  });

  it('keep the tag beside a digest, and the full form drops it, since the digest alone decides', () => {
    const reference = parseReference(`app:v1@${DIGEST}`);
    expect(reference).toEqual({ registry: 'docker.io', repository: 'library/app', tag: 'v1', digest: DIGEST });
    expect(formatReference(reference)).toBe(`docker.io/library/app@${DIGEST}`);
  });
});

describe('what is no reference is refused with the reason', () => {
  it.each([
    ['', 'empty'],
    [' app', 'space'],
    ['app v1', 'space'],
    ['app\n', 'space or a control character'],
    ['app\u001b[2J', 'control character'],
    ['App', 'lowercase'],
    ['me/App:v1', 'lowercase'],
    ['docker.io/Me/app', 'lowercase'],
    ['localhost:99999/app', 'not a registry'],
    ['256.1.1.1:5000/app', 'not a registry'],
    ['app:', 'tag is empty'],
    ['app:-v1', 'not a tag'],
    ['app:.v1', 'not a tag'],
    ['app:v1+2', 'not a tag'],
    ['app:v1:v2', 'not a tag'],
    [`app:${'t'.repeat(129)}`, '128'],
    [`app/${'a'.repeat(250)}`, '255'],
    ['app/', 'empty'],
    ['/app', 'empty'],
    ['a//b', 'empty'],
    ['-app', 'cannot be part'],
    ['app-', 'cannot be part'],
    ['a..b', 'cannot be part'],
    ['a___b', 'cannot be part'],
    ['../app', 'not a registry'],
    ['äpp', 'cannot be part'],
    ['docker.io/', 'cannot be part|empty'],
    ['-host.io/app', 'not a registry'],
    ['host:port/app', 'not a registry'],
    ['[::1/app', 'not a registry'],
    ['user:secret@host/app', 'not a digest'],
    ['app@', 'not a digest'],
    ['app@sha256:abc', 'not a digest'],
    [`app@SHA256:${HEX}`, 'not a digest'],
    [`app@${DIGEST}@${DIGEST}`, 'not a digest'],
    [DIGEST, 'is a digest'],
    [HEX, 'image id'],
    ['docker://app', 'scheme'],
    ['https://docker.io/app', 'scheme'],
  ])('%j', (text, reason) => {
    const error = failure(() => parseReference(text));
    expect(error.code).toBe('ERR_BAD_REFERENCE');
    expect(error.message).toMatch(new RegExp(reason));
    expect(error.hint).toBeTruthy();
  });

  it('and a password in a pasted address is not repeated', () => {
    for (const text of ['https://me:hunter2@host.io/app', 'me:hunter2@host.io/app']) {
      const error = failure(() => parseReference(text));
      expect(JSON.stringify([error.message, error.hint, error.details])).not.toContain('hunter2');
    }
  });

  it('and the longest allowed name and tag are accepted', () => {
    const name = `host.io/${'a'.repeat(247)}`;
    expect(normaliseReference(`${name}:${'t'.repeat(128)}`)).toHaveLength(255 + 1 + 128);
    expect(() => parseReference(`${name}a`)).toThrow('255');
  });

  it('and a text made to be slow is refused at once', () => {
    const start = performance.now();
    for (const text of [
      'a-'.repeat(50_000),
      'a.'.repeat(50_000),
      `${'a'.repeat(100_000)}!`,
      `${'a-'.repeat(50_000)}.io/x`,
    ]) {
      expect(() => parseReference(text)).toThrow();
    }
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

it.each([
  ['registry.example/Team/APP:v1', 'registry.example/team/app:v1'],
  ['localhost:5000/APP', 'localhost:5000/app'],
  ['me/App:Tag', 'me/app:Tag'],
])('the hint for %s is to write %s, with all that it had besides', (text, written) => {
  expect(failure(() => parseReference(text)).hint).toBe(`write ${written}`);
});

function failure(action: () => unknown) {
  try {
    action();
  } catch (error) {
    if (isProvisionerError(error)) return error;
    throw error;
  }
  throw new Error('it did not fail');
}
