import { describe, expect, it } from 'vitest';
import {
  dead,
  digestOf,
  image,
  isAlive,
  layer,
  type MetadataContractContext,
  ours,
  putLayers,
  theirs,
} from './metadata-records.js';

export function layerContract(context: MetadataContractContext): void {
  describe('layers and their claims', () => {
    const id = digestOf('base');

    it('a layer comes back as it was recorded', async () => {
      const { manager } = context;
      const records = [
        layer('plain', { bytes: 0, entries: 0 }),
        layer('opaque', { bytes: 2 ** 40 + 1, entries: 155_000, opaqueRoot: true }),
        layer('whiteouts', { whiteouts: true, describesRoot: true }),
      ];
      for (const record of records) await manager.putLayers([record]);
      for (const record of records) expect(await manager.getLayer(record.id)).toEqual(record);
      expect(await manager.getLayer(digestOf('none'))).toBeUndefined();
      expect((await manager.listLayers()).map((record) => record.id)).toEqual(
        records.map((record) => record.id).sort(),
      );
    });

    it('the disk use of a layer can be corrected, and of a layer that is not recorded nothing is', async () => {
      const { manager } = context;
      await manager.putLayers([layer('plain', { bytes: 5 })]);
      await manager.changeLayer(digestOf('plain'), { bytes: 2 ** 40 });
      await manager.changeLayer(digestOf('none'), { bytes: 1 });
      expect(await manager.listLayers()).toEqual([layer('plain', { bytes: 2 ** 40 })]);
    });

    it('recording a layer again changes nothing', async () => {
      const { manager } = context;
      await manager.putLayers([layer('base', { bytes: 10 })]);
      await manager.putImage(image('app', ['base']), []);
      await manager.putLayers([layer('base', { bytes: 99, whiteouts: true })]);
      expect(await manager.getLayer(id)).toEqual(layer('base', { bytes: 10 }));
      expect((await manager.getImage(image('app', []).id))?.bytes).toBe(10);
    });

    it('the missing layers are told in the order asked for, each once', async () => {
      const { manager } = context;
      await putLayers(manager, 'here', 'also here');
      const asked = ['z', 'here', 'a', 'z', 'also here', 'a', 'm'].map(digestOf);
      expect(await manager.missingLayers(asked)).toEqual(['z', 'a', 'm'].map(digestOf));
      expect(await manager.missingLayers([])).toEqual([]);
    });

    it('one process at a time may unpack a layer, and the others are told which', async () => {
      const { manager } = context;
      expect(await manager.claimLayer(id, ours, isAlive)).toEqual({ state: 'claimed' });
      expect(await manager.claimLayer(id, theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      expect(await manager.claimLayer(id, ours, isAlive)).toEqual({ state: 'claimed' });
      expect(await manager.claimLayer(digestOf('other'), theirs, isAlive)).toEqual({ state: 'claimed' });
      expect(await manager.missingLayers([id])).toEqual([id]);
    });

    it('of many processes that ask for a layer at once, one gets it', async () => {
      const { manager } = context;
      const processes = Array.from({ length: 20 }, (_, index) => `${index + 1}:1:boot`);
      const answers = await Promise.all(processes.map((process) => manager.claimLayer(id, process, isAlive)));
      const winner = processes[answers.findIndex((answer) => answer.state === 'claimed')];
      expect(answers.filter((answer) => answer.state === 'claimed')).toHaveLength(1);
      expect(answers.filter((answer) => answer.state === 'busy' && answer.holder === winner)).toHaveLength(19);
    });

    it('the claim of a dead process is taken over, and is then held by the new one', async () => {
      const { manager } = context;
      await manager.claimLayer(id, dead, isAlive);
      expect(await manager.claimLayer(id, ours, isAlive)).toEqual({ state: 'claimed' });
      expect(await manager.claimLayer(id, theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      // Late news of the dead process, written by somebody on its behalf, takes nothing from us.
      await manager.releaseLayerClaims(dead, [id]);
      expect(await manager.claimLayer(id, theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
    });

    it('a claim that was given back can be had by others', async () => {
      const { manager } = context;
      await manager.claimLayer(id, ours, isAlive);
      await manager.releaseLayerClaims(theirs, [id]);
      expect(await manager.claimLayer(id, theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      await manager.releaseLayerClaims(ours, [id]);
      await manager.releaseLayerClaims(ours, [id]);
      expect(await manager.claimLayer(id, theirs, isAlive)).toEqual({ state: 'claimed' });
    });

    it('a process gives back the claims that it names, or all of its own', async () => {
      const { manager } = context;
      const [one, two, three] = ['one', 'two', 'three'].map(digestOf) as [string, string, string];
      for (const layerId of [one, two]) await manager.claimLayer(layerId, ours, isAlive);
      await manager.claimLayer(three, theirs, isAlive);
      await manager.releaseLayerClaims(ours, [one, three, digestOf('never claimed')]);
      expect(await manager.claimLayer(one, theirs, isAlive)).toEqual({ state: 'claimed' });
      expect(await manager.claimLayer(two, theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      await manager.releaseLayerClaims(ours, []);
      expect(await manager.claimLayer(two, theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      await manager.releaseLayerClaims(ours);
      expect(await manager.claimLayer(two, theirs, isAlive)).toEqual({ state: 'claimed' });
      expect(await manager.claimLayer(three, ours, isAlive)).toEqual({ state: 'busy', holder: theirs });
    });

    it('more layers than a page holds are listed, each once, sorted', async () => {
      const { manager } = context;
      const words = Array.from({ length: 2101 }, (_, index) => `layer ${index}`);
      await putLayers(manager, ...words);
      expect((await manager.listLayers()).map((record) => record.id)).toEqual(words.map(digestOf).sort());
      expect((await manager.count()).layers).toBe(2101);
    });

    it('a recorded layer cannot be claimed any more', async () => {
      const { manager } = context;
      await manager.claimLayer(id, ours, isAlive);
      await manager.putLayers([layer('base')]);
      expect(await manager.claimLayer(id, theirs, isAlive)).toEqual({ state: 'recorded' });
      expect(await manager.claimLayer(id, ours, isAlive)).toEqual({ state: 'recorded' });
    });

    it('a claim is left as it was when the question whether its holder lives fails', async () => {
      const { manager } = context;
      await manager.claimLayer(id, dead, isAlive);
      const failing = () => {
        throw new Error('no /proc');
      };
      await expect(manager.claimLayer(id, ours, failing)).rejects.toThrow('no /proc');
      expect(await manager.claimLayer(id, theirs, () => true)).toEqual({ state: 'busy', holder: dead });
    });
  });
}
