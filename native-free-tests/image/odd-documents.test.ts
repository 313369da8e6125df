import { describe, expect, it } from 'vitest';
import { isProvisionerError } from '#src/base/errors.js';
import { readStoredConfig, runtimeConfig } from '#src/image/image-config.js';
import {
  parseDockerSave,
  parseImageConfig,
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
} from '#src/image/manifest.js';
import { CONFIG, config, DIGEST, IMAGE_CONFIG, index, LAYER, MANIFEST, manifest } from './documents.js';

/* What documents may be like that are not as they should be. */

describe('an entry of an index that makes no sense is told, and does not spoil those beside it', () => {
  it.each([
    ['a platform in words', { ...LAYER, platform: 'linux' }, 'manifests[1].platform'],
    ['an annotation that is no text', { ...LAYER, annotations: { a: 1 } }, 'manifests[1].annotations.a'],
    ['no digest', { ...LAYER, digest: null }, 'manifests[1].digest'],
    ['a digest that is a path', { ...LAYER, digest: 'sha256:../../etc' }, 'manifests[1].digest: is not a digest'],
    ['no size', { ...LAYER, size: undefined }, 'manifests[1].size: is missing'],
    ['nothing', null, 'manifests[1]: expected object, found null'],
    ['a list', [], 'manifests[1]: expected object, found array'],
  ])('%s', (_what, entry, place) => {
    const { manifests, fault } = index({ manifests: [LAYER, entry, 1, LAYER] })();
    expect(manifests).toEqual([LAYER, undefined, undefined, LAYER]);
    expect(fault).toMatchObject({ code: 'ERR_SOURCE_MALFORMED', message: expect.stringContaining(place) });
  });

  it('and of one without any nothing is told', () => {
    expect(index({ manifests: [LAYER] })().fault).toBeUndefined();
  });
});

describe('what is not there may be null or empty', () => {
  it.each([
    ['mediaType', { mediaType: null }],
    ['an empty mediaType', { mediaType: '' }],
    ['a mediaType with a parameter', { mediaType: 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' }],
    ['a mediaType that says nothing', { mediaType: 'application/json' }],
    ['the part of an index', { manifests: null }],
    ['schemaVersion', { schemaVersion: null }],
    ['a schemaVersion that was not set', { schemaVersion: 0 }],
    ['annotations', { config: { ...CONFIG, annotations: null, platform: null } }],
    ['an annotation', { config: { ...CONFIG, annotations: { a: null } } }],
    ['the type of the config', { config: { ...CONFIG, mediaType: null } }],
    ['the type of a layer', { layers: [{ ...LAYER, mediaType: undefined }] }],
  ])('in a manifest: %s', (_what, fields) => {
    expect(manifest(fields)()).toMatchObject({ config: { digest: DIGEST }, layers: [{ digest: DIGEST }] });
  });

  it.each([
    ['mediaType', { mediaType: null }],
    ['the parts of a manifest', { config: null, layers: null }],
    ['the fields of a platform', { platform: { os: null, architecture: '', variant: null } }],
    ['an annotation', { annotations: { a: null } }],
    ['the type', { mediaType: null }],
  ])('in an index, or an entry of it: %s', (_what, fields) => {
    const read = index({ ...('config' in fields ? fields : {}), manifests: [{ ...LAYER, ...fields }] })();
    expect(read).toMatchObject({ manifests: [{ digest: DIGEST }], fault: undefined });
  });

  it.each([
    ['os', { os: null }],
    ['architecture', { architecture: '' }],
    ['variant', { variant: null }],
    ['created', { created: null }],
    ['the kind of the rootfs', { rootfs: { type: null, diff_ids: [DIGEST] } }],
    ['fields for the runtime', { config: { User: null, WorkingDir: null, StopSignal: null, Env: null, Labels: null } }],
  ])('in a config: %s', (_what, fields) => {
    const read = config(fields)();
    expect(read.diffIds).toEqual([DIGEST]);
    expect(runtimeConfig(read)).toMatchObject({ user: '', workingDir: '/', stopSignal: '', env: [], labels: {} });
  });

  it('in lists and labels of a config it is an empty text, as in Go, and a command that is one text is a list of it', () => {
    const read = config({ config: { Env: ['A=1', null], Cmd: 'sh', Entrypoint: ['a', null], Labels: { a: null } } })();
    expect(runtimeConfig(read)).toMatchObject({
      env: ['A=1', ''],
      cmd: ['sh'],
      entrypoint: ['a', ''],
      labels: { a: '' },
    });
  });

  it('in what docker save lists', () => {
    const text = JSON.stringify([{ Config: 'c.json', RepoTags: [null, 'app:v1'], Layers: null }]);
    expect(parseDockerSave(text, 'manifest.json')).toEqual([
      { Config: 'c.json', RepoTags: ['', 'app:v1'], Layers: [] },
    ]);
  });
});

describe('a document is what its parts say, whatever it was expected to be', () => {
  const ask = (document: object, expected: 'index' | 'manifest') => () =>
    parseManifestOrIndex(JSON.stringify(document), expected, 'the document');
  const INDEX = { schemaVersion: 2, manifests: [LAYER] };

  it('an index under the type of a manifest, and a manifest under that of an index', () => {
    expect(ask(INDEX, 'manifest')().kind).toBe('index');
    expect(ask(MANIFEST, 'index')().kind).toBe('manifest');
    expect(failure(() => parseManifest(JSON.stringify(INDEX), 'it')).message).toContain('an index, not a manifest');
    expect(failure(() => parseIndex(JSON.stringify(MANIFEST), 'it')).message).toContain('a manifest, not an index');
  });

  it('one without any is what it calls itself, or else what was expected', () => {
    const empty = { schemaVersion: 2, manifests: null };
    expect(ask({ ...empty, mediaType: 'application/vnd.oci.image.index.v1+json' }, 'manifest')().kind).toBe('index');
    expect(ask(empty, 'index')().kind).toBe('index');
    expect(failure(ask(empty, 'manifest')).message).toContain('config: is missing');
  });

  it.each([
    ['both', { ...MANIFEST, manifests: [] }, 'ERR_SOURCE_MALFORMED', 'both manifests and config'],
    [
      'an index that calls itself a manifest',
      { ...INDEX, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
      'ERR_SOURCE_MALFORMED',
      'mediaType',
    ],
    ["Docker's schema 1", { schemaVersion: 1, fsLayers: [] }, 'ERR_UNSUPPORTED_MEDIA_TYPE', 'schema 1'],
    [
      'something else',
      { mediaType: 'application/vnd.oci.artifact.manifest.v1+json', blobs: [] },
      'ERR_UNSUPPORTED_MEDIA_TYPE',
      'artifact.manifest',
    ],
  ])('%s is refused', (_what, document, code, words) => {
    for (const expected of ['index', 'manifest'] as const) {
      if (words === 'schema 1' && expected === 'index') continue;
      expect(failure(ask(document, expected))).toMatchObject({ code, message: expect.stringContaining(words) });
    }
  });
});

describe('the type of a config', () => {
  const VAGUE = ['application/octet-stream', 'binary/octet-stream', 'application/json', 'text/html', 'text/plain', ''];
  const OTHER = ['application/vnd.docker.image.rootfs.diff.tar.gzip', `${CONFIG.mediaType}; charset=utf-8`];

  it.each([...VAGUE, ...OTHER])('may be %j when it reads as one', (mediaType) => {
    expect(manifest({ config: { ...CONFIG, mediaType } })().config.mediaType).toBe(mediaType);
    const read = parseImageConfig(JSON.stringify(IMAGE_CONFIG), 1, 'the config', mediaType);
    expect(read.diffIds).toEqual([DIGEST]);
  });

  it.each(VAGUE)('%j with what reads as none is told as no image', (mediaType) => {
    for (const text of ['{}', '[1]', 'apiVersion: v2', '{"rootfs":{"diff_ids":[]}}']) {
      expect(failure(() => parseImageConfig(text, 1, 'the config', mediaType))).toMatchObject({
        code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
        message: expect.stringMatching(/container image/),
        hint: expect.stringContaining('charts'),
      });
    }
  });

  it.each([
    'application/vnd.cncf.helm.config.v1+json',
    'application/vnd.oci.empty.v1+json',
    'application/vnd.dev.cosign.artifact.sig.v1+json',
    'application/vnd.docker.plugin.v1+json',
    'application/vnd.unknown.config.v1+json',
  ])('%s is that of something else', (mediaType) => {
    expect(failure(manifest({ config: { ...CONFIG, mediaType } }))).toMatchObject({
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: expect.stringContaining(`no container image: its config is of type "${mediaType}"`),
      hint: expect.stringContaining('charts'),
    });
  });

  it('and a signature with the type of an image is told by its layer', () => {
    const mediaType = 'application/vnd.dev.cosign.simplesigning.v1+json';
    expect(failure(manifest({ layers: [{ ...LAYER, mediaType }] }))).toMatchObject({
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: expect.stringContaining(mediaType),
      hint: expect.stringContaining('signatures'),
    });
  });

  it('an artifact that has the type of an image and an empty config is told as such', () => {
    expect(failure(() => parseImageConfig('{}', 0, 'the config'))).toMatchObject({
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: 'the config is not that of a container image: it has no rootfs',
    });
  });
});

function attempt(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

function failure(action: () => unknown) {
  const outcome = attempt(action);
  if (isProvisionerError(outcome)) return outcome;
  throw new Error('it did not fail as it should', { cause: outcome });
}

describe('a key in another case', () => {
  it('is the key, in manifests, descriptors and configs', () => {
    const layer = { MediaType: LAYER.mediaType, Digest: DIGEST, SIZE: 20 };
    const text = JSON.stringify({ SchemaVersion: 2, CONFIG, Layers: [layer] });
    expect(parseManifest(text, 'the manifest')).toMatchObject({ config: CONFIG, layers: [LAYER] });
    const { rootfs, ...others } = IMAGE_CONFIG;
    const written = JSON.stringify({ ...others, rootfS: rootfs, config: { user: '7:8', cmd: ['/x'] } });
    expect(parseImageConfig(written, 1, 'the config').diffIds).toEqual([DIGEST]);
    expect(runtimeConfig(readStoredConfig(written))).toMatchObject({ user: '7:8', cmd: ['/x'] });
  });

  it('makes nothing pass that would not pass in the right one', () => {
    const both = JSON.stringify({ ...MANIFEST, Manifests: [LAYER] });
    expect(() => parseManifestOrIndex(both, 'manifest', 'the manifest')).toThrow('both');
    const many = JSON.stringify({
      schemaVersion: 2,
      config: CONFIG,
      LAYERS: Array.from({ length: 1001 }, () => LAYER),
    });
    expect(() => parseManifest(many, 'the manifest')).toThrow(expect.objectContaining({ code: 'ERR_LIMIT_EXCEEDED' }));
    expect(() => parseManifest(JSON.stringify({ SCHEMAVERSION: 1 }), 'the manifest')).toThrow('schema 1');
  });
});
