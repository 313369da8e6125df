import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { archive, entry, header } from '../../native-free-tests/helpers/raw-tar.js';
import { longestStretch } from '../helpers/event-loop.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';

/** Milliseconds, as promised. */
const LONGEST = 50;

type Layers = Parameters<typeof buildImage>[0];
type Operation = [name: string, work: (provisioner: Provisioner, source: string) => Promise<unknown>];

const times = (count: number, make: (index: number) => Buffer): Buffer[] =>
  Array.from({ length: count }, (_, index) => make(index));
const layer = (...parts: Buffer[]): Layers[number] => buildLayer(archive(...parts));
const implied = (index: number, name: string): Buffer => entry({ name: `d${index}/${name}` });
const link = (name: string, target: string): Buffer => header({ name, linkName: target, type: '1' });
const directory = (name: string): Buffer => header({ name, type: '5' });

const images: Record<string, () => Layers> = {
  'many layers': () => times(400, (index) => entry({ name: `f${index}` })).map((file) => layer(file)),
  'many implied directories': () => [
    layer(...times(15_000, (index) => directory(`d${index}`))),
    layer(...times(15_000, (index) => implied(index, 'f'))),
  ],
  'many layers with some implied directories each': () =>
    Array.from({ length: 30 }, (_, number) => layer(...times(400, (index) => implied(index, `f${number}`)))),
  'many links to a layer below': () => [
    layer(entry({ name: 'f' }, 'x')),
    layer(...times(30_000, (index) => link(`l${index}`, 'f'))),
  ],
};

const OPERATIONS: Operation[] = [
  ['pull', (provisioner, source) => provisioner.images.pull(source, { name: 'app' })],
  ['provision', (provisioner) => provisioner.provision('job', 'app', { backend: 'copy' })],
  ['df', (provisioner) => provisioner.store.usage()],
  ['check', (provisioner) => provisioner.store.check({ full: true })],
  ['recover', (provisioner) => provisioner.recover({ knownContainerIds: ['job'] })],
  ['destroy', (provisioner) => provisioner.destroy('job')],
  ['prune', (provisioner) => provisioner.pruneImages([])],
];

describeWith(['root'], 'an image made to ask much of whoever handles it', () => {
  test.each(Object.keys(images))(
    'never keeps the event loop: %s',
    async (name) => {
      const image = buildImage(images[name]?.() ?? []);
      const layout = join(temporaryDirectory(), 'layout');
      await writeOciLayout(layout, [{ image, refName: 'app' }]);
      const stretches: Record<string, number> = {};
      const tooLong = () => Object.entries(stretches).filter(([, stretch]) => stretch > LONGEST);
      // The first time code is loaded and compiled, which may take longer.
      for (const round of [1, 2]) {
        if (round === 2 && tooLong().length === 0) break;
        const provisioner = await openStore();
        for (const [operation, work] of OPERATIONS) {
          const stretch = await longestStretch(() => work(provisioner, `oci:${layout}`));
          stretches[operation] = round === 1 ? stretch : Math.min(stretch, stretches[operation] ?? stretch);
        }
        await provisioner.store.swept();
      }
      expect(tooLong()).toEqual([]);
    },
    300_000,
  );

  test('is refused at once when it has more layers than any tool makes', async () => {
    const many = Array(1001).fill(layer(entry({ name: 'f' })));
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: buildImage(many), refName: 'app' }]);
    const provisioner = await openStore();
    const stretch = await longestStretch(async () => {
      const pull = provisioner.images.pull(`oci:${layout}`, { name: 'app' });
      await expect(pull).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', details: { layers: 1001, limit: 1000 } });
    });
    expect(stretch).toBeLessThan(LONGEST);
  });
});
