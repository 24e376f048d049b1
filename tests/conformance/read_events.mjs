// Reads streams with the npm package `eventsource`: the request is JSON on standard input, the events are written as JSON.

import { text } from "node:stream/consumers";

const request = JSON.parse(await text(process.stdin));
const { EventSource } = await import(request.package);

const read = ([address, names]) =>
  new Promise((done) => {
    const received = [];
    const source = new EventSource(address);
    const note = (event) => received.push([event.type, event.data, event.lastEventId]);
    for (const name of new Set(["message", ...names])) source.addEventListener(name, note);
    source.addEventListener("error", () => {
      source.close();
      done(received);
    });
  });

process.stdout.write(JSON.stringify(await Promise.all(request.streams.map(read))));
