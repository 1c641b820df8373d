"use strict";

// Files come in that a browser cannot show: chosen or dropped.

const intake = {
  many: one("drop").dataset.many,
  limit: "files",
  spare: "file",
  begin() {},
  query: () => "",
  preview: (file) => element("p", "excerpt", `${file.size.toLocaleString()} bytes`),
  also() {},
};

start();
