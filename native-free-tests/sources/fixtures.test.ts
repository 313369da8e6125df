import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parsePlatform } from '#src/image/platform.js';
import { OciLayoutPuller } from '#src/sources/oci-layout.js';
import { useDirectory } from './workbench.js';

const directory = useDirectory();
const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));

describe('the committed fixtures', () => {
  it.each(['v1', 'v2'])('app-%s offers an image of four layers for three platforms', async (version) => {
    for (const platform of ['linux/amd64', 'linux/arm64', 'linux/arm/v7'].map(parsePlatform)) {
      const { images } = await new OciLayoutPuller(join(fixtures, `app-${version}`)).open({ platform });
      expect(images).toMatchObject([{ platform, names: [`docker.io/library/app:${version}`] }]);
      expect(images[0]?.layers).toHaveLength(4);
    }
  });

  it('share all layers but the top one', async () => {
    const layers = [];
    for (const version of ['v1', 'v2']) {
      const puller = new OciLayoutPuller(join(fixtures, `app-${version}`));
      const { images } = await puller.open({ platform: parsePlatform('linux/amd64') });
      layers.push(images[0]?.layers.map((layer) => layer.diffId) ?? []);
    }
    expect(layers[0]?.slice(0, 3)).toEqual(layers[1]?.slice(0, 3));
    expect(layers[0]?.[3]).not.toBe(layers[1]?.[3]);
  });

  it('are what the script writes', async () => {
    execFileSync(process.execPath, [join(fixtures, 'make-fixtures.mjs'), directory.path]);
    for (const version of ['app-v1', 'app-v2']) {
      expect(await contents(directory.join(version))).toEqual(await contents(join(fixtures, version)));
    }
  });
});

async function contents(directory: string): Promise<Map<string, string>> {
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const paths = files.map((file) => join(file.parentPath, file.name)).toSorted();
  const texts = await Promise.all(
    paths.map(async (path) => [path.slice(directory.length), await readFile(path, 'base64')] as const),
  );
  return new Map(texts);
}
