// One function a topic, called by module.cpp.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

namespace bge {

void register_engine(pybind11::module_& module);
void register_layers(pybind11::module_& module);
void register_kernels(pybind11::module_& module);
void register_search(pybind11::module_& module);
void register_scores(pybind11::module_& module);
void register_tokenize(pybind11::module_& module);

}  // namespace bge
