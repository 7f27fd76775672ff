import { mount, socketLink } from "./studio.js";

mount(document.querySelector("main"), socketLink());
