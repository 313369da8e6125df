import { expect, test } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages } from '../helpers/test-store.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'app' }])]);

describeWith(['root', 'overlay'], 'a recovery', () => {
  test('counts what it mounts again, and the containers that it destroys', async () => {
    const p = await openStore();
    await pullImages(p, { app });
    for (const id of ['one', 'two', 'three']) await p.provision(id, 'app', { backend: 'overlay' });
    await unmountAll(p.root);
    await p.recover({ knownContainerIds: ['one', 'two'] });
    expect(p.counters()).toMatchObject({ recoveries: 1, remounts: 2, destroys: 1, removeContainerErrors: 0 });
    await p.recover({ knownContainerIds: ['one', 'two'] });
    expect(p.counters()).toMatchObject({ recoveries: 2, remounts: 2, destroys: 1 });
  });
});
