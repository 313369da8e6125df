import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { RegistryAccess } from '#src/registry/registry-access.js';
import { openSource } from '#src/sources/open-source.js';
import { parseSource } from '#src/sources/source.js';
import { writeDockerArchive, writeOciArchive, writeOciLayout } from '../helpers/image-builder.js';
import { inflateHere } from '../helpers/inflate-here.js';
import { AMD64, failure, labelledImage, labelsOf, useDirectory } from './workbench.js';

const directory = useDirectory();
const [a, b] = [labelledImage('a'), labelledImage('b')];

const open = (text: string, reference?: string) =>
  openSource(parseSource(text), {
    stagingDirectory: directory.staging,
    inflate: inflateHere,
    openRepository: (wanted, signal) =>
      new RegistryAccess().open(wanted, { retries: 0 }, { signal, onPassedOver: () => {} }),
  }).open({ platform: AMD64, reference });

it('each transport has its puller, and what follows the path picks the image', async () => {
  const entries = [
    { image: a, refName: 'app:v1' },
    { image: b, refName: 'app:v2' },
  ];
  await writeOciLayout(directory.join('layout'), entries);
  await writeOciArchive(directory.join('oci.tar'), entries);
  await writeDockerArchive(directory.join('docker.tar'), [
    { image: a, tags: ['app:v1'] },
    { image: b, tags: ['app:v2'] },
  ]);
  for (const source of ['oci:layout', 'oci-archive:oci.tar', 'docker-archive:docker.tar']) {
    const [transport, path] = source.split(':');
    const text = `${transport}:${directory.join(path ?? '')}`;
    expect(await labelsOf(open(`${text}:app:v2`))).toEqual(['b']);
    expect(await labelsOf(open(`${text}:app:v2`, 'app:v1'))).toEqual(['a']);
    expect((await failure(open(text))).code).toBe('ERR_IMAGE_AMBIGUOUS');
  }
});

it('a plain reference and docker:// lead to a registry', async () => {
  for (const text of ['docker://localhost:1/app', 'localhost:1/app']) {
    expect(await failure(() => open(text))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringContaining('localhost:1/app:latest'),
    });
  }
});

it('a source is understood, and a puller made, without loading a single package', async () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = async (file: URL): Promise<void> => {
    if (seen.has(file.href)) return;
    seen.add(file.href);
    for (const [, specifier = ''] of (await readFile(file, 'utf8')).matchAll(
      /^(?:import|export) .*?from '(.*?)';$/gms,
    )) {
      if (specifier.startsWith('.')) await visit(new URL(specifier, file));
      else if (!specifier.startsWith('node:')) packages.add(specifier);
    }
  };
  for (const name of ['source', 'open-source', 'puller']) {
    await visit(new URL(`../../build/sources/${name}.js`, import.meta.url));
  }
  expect(seen.size).toBeGreaterThan(4);
  expect([...packages]).toEqual([]);
});
