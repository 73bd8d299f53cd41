/* python3.dll: only forwards the stable ABI to python3XX.dll, as its .def file says. */
int __stdcall DllMainCRTStartup(void *dll, unsigned reason, void *more) { return 1; }
