// Reads streams with the npm package `eventsource`; the question comes as JSON on standard input, the answer goes out.

import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const { EventSource } = await import(asked.package);

const read = ([address, names]) =>
  new Promise((done) => {
    const heard = [];
    const source = new EventSource(address);
    const note = (event) => heard.push([event.type, event.data, event.lastEventId]);
    for (const name of new Set(["message", ...names])) source.addEventListener(name, note);
    source.addEventListener("error", () => {
      source.close();
      done(heard);
    });
  });

process.stdout.write(JSON.stringify(await Promise.all(asked.streams.map(read))));
