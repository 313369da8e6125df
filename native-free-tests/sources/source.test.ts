import { describe, expect, it } from 'vitest';
import { formatSource, parseSource } from '#src/sources/source.js';
import { failure } from './workbench.js';

describe('a source', () => {
  it.each([
    ['app', 'docker://docker.io/library/app:latest'],
    ['docker://app:v1', 'docker://docker.io/library/app:v1'],
    ['docker://localhost:5000/a/b', 'docker://localhost:5000/a/b:latest'],
    ['docker:27-dind', 'docker://docker.io/library/docker:27-dind'],
    ['localhost:5000/app', 'docker://localhost:5000/app:latest'],
  ])('%s is in a registry', (text, canonical) => {
    const source = parseSource(text);
    expect(source.transport).toBe('docker');
    expect(formatSource(source)).toBe(canonical);
  });

  it.each([
    ['oci:/images/app', { transport: 'oci', path: '/images/app' }],
    ['oci:app', { transport: 'oci', path: 'app' }],
    ['oci:../app:v1', { transport: 'oci', path: '../app', reference: 'v1' }],
    [
      'oci:/images/app:localhost:5000/app:v1',
      { transport: 'oci', path: '/images/app', reference: 'localhost:5000/app:v1' },
    ],
    ['oci:/images/app:@sha256:abc', { transport: 'oci', path: '/images/app', reference: '@sha256:abc' }],
    ['oci-archive:/a/b.tar', { transport: 'oci-archive', path: '/a/b.tar' }],
    ['oci-archive:b.tar:v1', { transport: 'oci-archive', path: 'b.tar', reference: 'v1' }],
    ['docker-archive:/a/b.tar:app:v2', { transport: 'docker-archive', path: '/a/b.tar', reference: 'app:v2' }],
    ['docker-archive:/a/b.tar:@1', { transport: 'docker-archive', path: '/a/b.tar', reference: '@1' }],
    ['docker-archive:/with space/b.tar', { transport: 'docker-archive', path: '/with space/b.tar' }],
  ])('%s ends its path at the first colon', (text, source) => {
    expect(parseSource(text)).toEqual(source);
    expect(formatSource(parseSource(text))).toBe(text);
  });

  it.each([
    ['oci:', 'ERR_BAD_SOURCE', 'path is missing'],
    ['oci::v1', 'ERR_BAD_SOURCE', 'path is missing'],
    ['oci:/images/app:', 'ERR_BAD_SOURCE', 'last colon'],
    ['docker-archive:', 'ERR_BAD_SOURCE', 'path is missing'],
    ['oci:/a\0b', 'ERR_BAD_SOURCE', 'NUL'],
    ['https://host.io/app', 'ERR_BAD_SOURCE', 'web address'],
    ['./app.tar', 'ERR_BAD_SOURCE', 'needs a transport'],
    ['/images/app', 'ERR_BAD_SOURCE', 'needs a transport'],
    ['../app', 'ERR_BAD_SOURCE', 'needs a transport'],
    ['~/app.tar', 'ERR_BAD_SOURCE', 'needs a transport'],
    ['', 'ERR_BAD_REFERENCE', 'empty'],
    ['docker://', 'ERR_BAD_REFERENCE', 'empty'],
    ['docker://App', 'ERR_BAD_REFERENCE', 'lowercase'],
    ['unknown:/x', 'ERR_BAD_REFERENCE', ''],
    ['docker-daemon:app:latest', 'ERR_SOURCE_UNSUPPORTED', 'docker-daemon'],
    ['containers-storage:app', 'ERR_SOURCE_UNSUPPORTED', 'containers-storage'],
    ['dir:/images/app', 'ERR_SOURCE_UNSUPPORTED', 'dir'],
  ])('%j is refused with %s', async (text, code, reason) => {
    const error = await failure(() => parseSource(text));
    expect(error.code).toBe(code);
    expect(error.message).toContain(reason);
    expect(error.hint).toBeTruthy();
  });
});
