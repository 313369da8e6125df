import { describeContainerizer } from '../../native-free-tests/contracts/containerizer.js';
import { again, IMAGE, leftOf, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

for (const [runtime, traits] of [
  ['crun', {}],
  ['runc', { execEndsAlone: false }],
] as const) {
  describeWith(['root', 'overlay', 'cgroups', 'busybox', runtime], `containers that ${runtime} runs`, () => {
    const open = async () => {
      const { containers, root } = await storeWithBusybox({ runtime });
      const stranger = await again(root, { runtime, owner: 'stranger' });
      return { containers, stranger: stranger.containers, image: IMAGE, left: () => leftOf(root) };
    };
    describeContainerizer('promise what every containerizer does:', open, traits);
  });
}
