import { describe, expect, it } from 'vitest';
import { isProvisionerError } from '#src/base/errors.js';
import { checkDocumentValues, LAYERS_LIMIT, VALUES_LIMIT } from '#src/image/document-limits.js';
import { runtimeConfig } from '#src/image/image-config.js';
import {
  checkLayoutVersion,
  DOCUMENT_LIMIT,
  parseDockerSave,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '#src/image/manifest.js';
import { processorSeconds } from '../helpers/layers.js';
import { CONFIG, config, DIGEST, IMAGE_CONFIG, index, LAYER, MANIFEST, manifest } from './documents.js';

describe('a manifest', () => {
  it('gives its config and layers', () => {
    expect(manifest({})()).toMatchObject({ config: CONFIG, layers: [LAYER] });
  });

  it('may have fields that nobody knows, and no layers at all', () => {
    expect(manifest({ layers: null, subject: CONFIG, future: { deep: [1] } })().layers).toEqual([]);
  });

  it.each([
    ['a layer without digest', { layers: [{ ...LAYER, digest: undefined }] }, 'layers[0].digest: is missing'],
    [
      'a layer of a size in words',
      { layers: [{ ...LAYER, size: 'big' }] },
      'layers[0].size: expected number, found string',
    ],
    ['a type that is no text', { layers: [{ ...LAYER, mediaType: 1 }] }, 'layers[0].mediaType: expected string'],
    ['a list in place of a layer', { layers: [[]] }, 'layers[0]: expected object, found array'],
    ['a list in place of annotations', { layers: [{ ...LAYER, annotations: ['a'] }] }, 'annotations: expected object'],
    ['null in place of a layer', { layers: [null] }, 'layers[0]: expected object, found null'],
    [
      'a digest that is a path',
      { layers: [LAYER, { ...LAYER, digest: 'sha256:../../etc' }] },
      'layers[1].digest: is not a digest',
    ],
    [
      'a digest of unknown algorithm',
      { config: { ...CONFIG, digest: `md5:${'a'.repeat(32)}` } },
      'config.digest: is not a digest',
    ],
    ['a negative size', { config: { ...CONFIG, size: -1 } }, 'config.size: is negative'],
    ['a size with a fraction', { config: { ...CONFIG, size: 1.5 } }, 'config.size: is not a whole number'],
    ['a size beyond counting', { config: { ...CONFIG, size: 2 ** 60 } }, 'config.size'],
    ['a size in words', { layers: [{ ...LAYER, size: '20' }] }, 'layers[0].size'],
    ['no config', { config: undefined }, 'config'],
    ['a list for config', { config: [] }, 'config'],
    ['another schema version', { schemaVersion: 3 }, 'schemaVersion'],
    ['the media type of an index', { mediaType: 'application/vnd.oci.image.index.v1+json' }, 'mediaType'],
    ['what an index has', { manifests: [] }, 'both manifests and config'],
  ])('with %s is refused by naming the place', (_what, fields, place) => {
    expect(failure(manifest(fields))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining(place),
    });
  });

  it('with many faults names the first ones', () => {
    const error = failure(manifest({ layers: Array.from({ length: 9 }, () => ({})) }));
    expect(error.message).toContain('layers[0].digest');
    expect(error.message).toMatch(/and \d+ more$/);
    expect(error.message.length).toBeLessThan(400);
  });

  it.each([
    ['a chart', { config: { ...CONFIG, mediaType: 'application/vnd.cncf.helm.config.v1+json' } }, 'helm'],
    ['an empty config', { config: { ...CONFIG, mediaType: 'application/vnd.oci.empty.v1+json' } }, 'empty'],
    ['an unknown layer', { layers: [{ ...LAYER, mediaType: 'application/vnd.in-toto+json' }] }, 'in-toto'],
    ['an encrypted layer', { layers: [{ ...LAYER, mediaType: `${LAYER.mediaType}+encrypted` }] }, 'encrypted'],
    ["Docker's schema 1", { schemaVersion: 1 }, 'schema 1'],
  ])('of %s is refused by its type', (_what, fields, named) => {
    expect(failure(manifest(fields))).toMatchObject({
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: expect.stringContaining(named),
    });
  });

  it('whose text is not JSON is refused without quoting it', () => {
    const error = failure(() => parseManifest('root:x:0:0:secret', 'the manifest'));
    expect(error.code).toBe('ERR_SOURCE_MALFORMED');
    expect(error.message).not.toContain('secret');
  });

  it.each(['', 'null', '1', '"text"', '[]', 'true'])('whose text is %j is refused', (text) => {
    expect(failure(() => parseManifest(text, 'the manifest')).code).toBe('ERR_SOURCE_MALFORMED');
  });

  it('of 4 MiB is read, and one byte more is refused', () => {
    const padding = DOCUMENT_LIMIT - JSON.stringify({ ...MANIFEST, padding: '' }).length;
    expect(manifest({ padding: 'x'.repeat(padding) })().layers).toHaveLength(1);
    expect(failure(manifest({ padding: 'x'.repeat(padding + 1) })).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('nested a million deep neither crashes nor hangs', () => {
    const deep = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`;
    const text = JSON.stringify(MANIFEST).replace(/}$/, `,"deep":${deep}}`);
    const outcome = attempt(() => parseManifest(text, 'the manifest').layers.length);
    expect(outcome === 1 || isProvisionerError(outcome, 'ERR_SOURCE_MALFORMED', 'ERR_LIMIT_EXCEEDED')).toBe(true);
  });

  it('cannot reach into the program through odd keys', () => {
    const text = JSON.stringify(MANIFEST).replace(/}$/, ',"__proto__":{"polluted":1}}');
    parseManifest(text.replace('"size":10', '"size":10,"annotations":{"__proto__":"x"}'), 'the manifest');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe('an index', () => {
  it('gives descriptors with their platforms, of types unknown to us too', () => {
    const entry = {
      mediaType: 'application/x-future',
      digest: DIGEST,
      size: 1,
      platform: { os: 'linux', architecture: 'arm' },
    };
    expect(index({ manifests: [entry] })().manifests).toEqual([entry]);
  });

  it('may be empty or null', () => {
    expect(index({ manifests: null })().manifests).toEqual([]);
  });

  it.each([
    ['what a manifest has', { config: CONFIG }, 'both manifests and config'],
    ['layers', { layers: [] }, 'both manifests and layers'],
    ['the media type of a manifest', { mediaType: 'application/vnd.oci.image.manifest.v1+json' }, 'mediaType'],
  ])('with %s is refused', (_what, fields, place) => {
    expect(failure(index(fields))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining(place),
    });
  });
});

describe('an image config', () => {
  it('gives diff IDs and what a runtime needs', () => {
    const parsed = config({ config: { Env: ['A=1'], Entrypoint: null, Cmd: ['sh'], Labels: null, WorkingDir: '' } })();
    expect(parsed.diffIds).toEqual([DIGEST]);
    expect(runtimeConfig(parsed)).toEqual({
      env: ['A=1'],
      entrypoint: [],
      cmd: ['sh'],
      user: '',
      workingDir: '/',
      labels: {},
      stopSignal: '',
      volumes: [],
    });
  });

  it('gives the volumes that are absolute paths', () => {
    const parsed = config({ config: { Volumes: { '/data': {}, '/var/lib/x': null, relative: {} } } })();
    expect(runtimeConfig(parsed).volumes).toEqual(['/data', '/var/lib/x']);
    expect(runtimeConfig(config({ config: { Volumes: null } })()).volumes).toEqual([]);
    expect(failure(config({ config: { Volumes: ['/data'] } }))).toMatchObject({ code: 'ERR_SOURCE_MALFORMED' });
  });

  it('may lack the section for the runtime, or have null there', () => {
    for (const section of [undefined, null]) expect(runtimeConfig(config({ config: section })()).env).toEqual([]);
  });

  it('must have one diff ID for each layer', () => {
    const rootfs = { type: 'layers', diff_ids: [DIGEST, DIGEST] };
    expect(failure(config({ rootfs }))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('2 diff IDs for 1 layers'),
    });
  });

  it('of an image without layers may have null for diff IDs', () => {
    const text = JSON.stringify({ ...IMAGE_CONFIG, rootfs: { type: 'layers', diff_ids: null } });
    expect(parseImageConfig(text, 0, 'the config').diffIds).toEqual([]);
  });

  it.each([
    ['an operating system that is no text', { os: 1 }, 'os'],
    ['an architecture in a list', { architecture: ['amd64'] }, 'architecture'],
    ['another kind of rootfs', { rootfs: { type: 'snapshots', diff_ids: [DIGEST] } }, 'rootfs.type'],
    ['a diff ID that is a path', { rootfs: { type: 'layers', diff_ids: ['../..'] } }, 'rootfs.diff_ids[0]'],
    ['a command that is a number', { config: { Cmd: 1 } }, 'config.Cmd'],
    ['variables in one text', { config: { Env: 'A=1' } }, 'config.Env'],
  ])('with %s is refused', (_what, fields, place) => {
    expect(failure(config(fields))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining(place),
    });
  });
});

describe('other documents', () => {
  it('manifest.json of docker save lists images, with or without tags', () => {
    const text = JSON.stringify([{ Config: 'c.json', RepoTags: null, Layers: null, LayerSources: {} }]);
    expect(parseDockerSave(text, 'manifest.json')).toEqual([{ Config: 'c.json', RepoTags: [], Layers: [] }]);
  });

  it('oci-layout must state version 1.0', () => {
    expect(() => checkLayoutVersion('{"imageLayoutVersion":"1.0.1"}', 'oci-layout')).not.toThrow();
    expect(failure(() => checkLayoutVersion('{"imageLayoutVersion":"2.0.0"}', 'oci-layout')).code).toBe(
      'ERR_SOURCE_UNSUPPORTED',
    );
    expect(failure(() => checkLayoutVersion('{}', 'oci-layout')).code).toBe('ERR_SOURCE_MALFORMED');
  });
});

it('the largest documents are parsed without holding the event loop for long', () => {
  const entry = { ...LAYER, platform: { os: 'linux', architecture: 'amd64' } };
  const count = Math.floor((DOCUMENT_LIMIT - 100) / (JSON.stringify(entry).length + 1));
  const text = JSON.stringify({ schemaVersion: 2, manifests: Array.from({ length: count }, () => entry) });
  const start = processorSeconds();
  expect(parseIndex(text, 'the index').manifests).toHaveLength(count);
  // 50 ms is the promise; machines that run tests are slow and shared.
  expect(processorSeconds() - start).toBeLessThan(0.5);
});

it.each<[string, string]>([
  ['objects', '{}'],
  ['numbers', '1'],
  ['texts', '""'],
  ['lists', '[]'],
])('a document of very many %s is refused before it is parsed', (_, value) => {
  const text = JSON.stringify(MANIFEST).replace(/}$/, `,"many":[${Array(VALUES_LIMIT).fill(value).join(',')}]}`);
  const error = failure(() => parseManifest(text, 'the manifest'));
  expect(error).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', message: 'the manifest has more than 200000 values' });
});

it('what stands in a text is no value', () => {
  const many = JSON.stringify(`\\"${',[{'.repeat(VALUES_LIMIT)}`);
  const text = JSON.stringify(MANIFEST).replace(/}$/, `,"many":${many}}`);
  expect(parseManifest(text, 'the manifest').layers).toHaveLength(1);
});

it('an image of a thousand layers is taken, and one of more is refused', () => {
  const ofLayers = (count: number) => JSON.stringify({ ...MANIFEST, layers: Array(count).fill(LAYER) });
  expect(parseManifest(ofLayers(LAYERS_LIMIT), 'the manifest').layers).toHaveLength(LAYERS_LIMIT);
  const error = failure(() => parseManifest(ofLayers(LAYERS_LIMIT + 1), 'the manifest'));
  expect(error).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', details: { layers: 1001, limit: 1000 } });
  const saved = JSON.stringify([{ Config: 'config.json', Layers: Array(LAYERS_LIMIT + 1).fill('layer.tar') }]);
  expect(failure(() => parseDockerSave(saved, 'manifest.json')).code).toBe('ERR_LIMIT_EXCEEDED');
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

it('a document whose values lie deep within each other is refused before it is read, whatever its length', () => {
  for (const deep of ['['.repeat(501) + ']'.repeat(501), `${'{"a":'.repeat(501)}1${'}'.repeat(501)}`]) {
    expect(() => checkDocumentValues(deep, 'the config')).toThrow(
      expect.objectContaining({
        code: 'ERR_LIMIT_EXCEEDED',
        message: expect.stringContaining('500 values within each other'),
      }),
    );
  }
  checkDocumentValues(JSON.stringify(Array.from({ length: 2000 }, () => [[['[[[['], { a: {} }]])), 'the config');
  checkDocumentValues('['.repeat(500) + ']'.repeat(500), 'the config');
});
