import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePlatform } from '#src/image/platform.js';
import { pullKey } from '#src/pulls/pull-key.js';
import { parseSource } from '#src/sources/source.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const amd64 = parsePlatform('linux/amd64');
const key = (source: string, terms = {}) => pullKey(parseSource(source), amd64, terms);

describe('the key of a pull', () => {
  it('is the same however an image is written', () => {
    expect(key('app')).toEqual(key('docker://docker.io/library/app:latest'));
    expect(key('app', { registry: { tlsVerify: undefined } })).toEqual(key('app'));
  });

  it.each([
    ['the tag', key('app:v1'), key('app:v2')],
    ['the platform', key('app'), pullKey(parseSource('app'), parsePlatform('linux/arm64'), {})],
    ['how the registry is reached', key('app'), key('app', { registry: { tlsVerify: false } })],
    ['the credentials', key('app'), key('app', { registry: { credentials: { username: 'me', password: 'x' } } })],
    ['the largest size', key('app'), key('app', { maxImageBytes: 5 })],
  ])('differs with %s', (_, one, other) => {
    expect(one).not.toEqual(other);
  });

  it('differs with a password, and does not show it', () => {
    const as = (password: string) => key('app', { registry: { credentials: { username: 'me', password } } });
    expect(as('one')).toEqual(as('one'));
    expect(as('one')).not.toEqual(as('two'));
    expect(JSON.stringify(as('hunter2'))).not.toContain('hunter2');
  });

  it('differs when an archive is written anew', () => {
    const path = join(temporaryDirectory(), 'app.tar');
    writeFileSync(path, 'one');
    const before = key(`oci-archive:${path}`);
    expect(key(`oci-archive:${path}`)).toEqual(before);
    writeFileSync(path, 'another');
    expect(key(`oci-archive:${path}`)).not.toEqual(before);
  });
});
