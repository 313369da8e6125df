import type { CommandGroup } from '../command-group.js';

/** What is stored, and what it is called. In the order of the help. */
export const IMAGES: CommandGroup = {
  pull: ['get images and unpack them', () => import('./pull.js')],
  load: ['store all images of an archive', () => import('./load.js')],
  images: ['list the stored images', () => import('./images.js')],
  inspect: ['show all about images, as JSON', () => import('./inspect.js')],
  tags: ['list the tags of a repository', () => import('./tags.js')],
  tag: ['give an image one more name', () => import('./tag.js')],
  rmi: ['remove names of images', () => import('./rmi.js')],
  pin: ['keep images from every prune', () => import('./pin.js')],
  unpin: ['let prune have images again', () => import('./unpin.js')],
};
