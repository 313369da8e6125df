import type { Cli } from '../../cli.js';
import { pinDocument } from '../../output/documents/change-document.js';

/** What `pin` and `unpin` do. */
export async function pinAll(cli: Cli, images: readonly string[], pinned: boolean): Promise<void> {
  await cli.withStore(async ({ provisioner, output, each }) => {
    const done = await each(images, async (image) => {
      const id = await (pinned ? provisioner.images.pin(image) : provisioner.images.unpin(image));
      output.line(id);
      return pinDocument(id, pinned);
    });
    output.document(() => done);
  });
}
