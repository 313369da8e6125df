import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { IMAGE, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { pullImages } from '../helpers/test-store.js';

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a prune by what runs containers', () => {
  it('keeps the images of containers, also of those whose programs have ended, and takes the others', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await pullImages(provisioner, { 'other:1': buildImage([buildLayer([{ path: 'other', content: 'x' }])]) });
    const { image } = await containers.launch('job', IMAGE, sh('exit 0'));
    await containers.wait('job');
    await containers.pruneImages();
    expect((await provisioner.images.list()).map(({ id }) => id)).toEqual([image]);
    await containers.destroy('job');
    await containers.pruneImages();
    expect(await provisioner.images.list()).toEqual([]);
  });
});
