import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { startFaultProxy } from '../helpers/fault-proxy.js';
import { type RealImages, realImages } from '../helpers/real-images.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

const run = promisify(execFile);

describeWith(
  ['root', 'overlay', 'skopeo', 'docker-registry', 'real images'],
  'real images by way of a registry',
  () => {
    let images: RealImages;
    beforeAll(async () => {
      images = await realImages();
    });

    // `mixed` has every kind of file; what comes of the many ordinary ones of the application does not depend on the way that they take.
    it.each([...(WHOLE_RANGE ? (['appV1'] as const) : []), 'mixed', 'mixedZstd'] as const)(
      'the tree of %s, copied there by skopeo and provisioned from there, is that of its layout, entry by entry',
      async (name) => {
        const registry = await startRegistry();
        const target = `docker://${registry.host}/real:latest`;
        await run('skopeo', [
          'copy',
          '--quiet',
          '--insecure-policy',
          '--dest-tls-verify=false',
          `oci:${images[name]}:latest`,
          target,
        ]);
        const [direct, remote] = [await openStore(), await openStore()];
        const [expected, actual] = [
          await direct.provision('job', `oci:${images[name]}`),
          await remote.provision('job', `${registry.host}/real`),
        ];
        expect(actual.image.id).toBe(expected.image.id);
        expect(treeDifferences(snapshotTree(expected.rootfs), snapshotTree(actual.rootfs))).toEqual([]);
      },
    );

    it('the second version of an application asks for its top layer alone', async () => {
      const registry = await startRegistry();
      for (const [layout, tag] of [
        [images.appV1, 'v1'],
        [images.appV2, 'v2'],
      ]) {
        await run('skopeo', [
          'copy',
          '--quiet',
          '--insecure-policy',
          '--dest-tls-verify=false',
          `oci:${layout}:latest`,
          `docker://${registry.host}/app:${tag}`,
        ]);
      }
      const proxy = await startFaultProxy(registry);
      const p = await openStore();
      await p.images.pull(`${proxy.host}/app:v1`);
      proxy.seen.length = 0;
      await p.images.pull(`${proxy.host}/app:v2`);
      // Its config, and its top layer.
      expect(proxy.blobs()).toHaveLength(2);
    });
  },
);
