# The swarm: sim_swarm runs seeds; sim_mutant_* are the same with one bug planted each.
#
# Neither the watching of transitions nor the bugs stand in the product's sources: both are made here, by replacing
# text in copies of them. Where a source no longer holds the text of a bug, that bug's test fails, so they keep up. A
# program gets the objects of its copies first on the link line; the library's own are then not taken.

file(GLOB swarm_sources CONFIGURE_DEPENDS sim/swarm*.cc)
list(FILTER swarm_sources EXCLUDE REGEX "swarm_main.cc|_test.cc")
add_library(weir_swarm STATIC ${swarm_sources})
target_link_libraries(weir_swarm PUBLIC weir_routing)

# The text of a product's source, and the path of a copy under `folder`.
function(weir_read_source source folder text_variable copy_variable)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${source})
  file(READ ${CMAKE_SOURCE_DIR}/${source} text)
  set(${text_variable} "${text}" PARENT_SCOPE)
  set(${copy_variable} ${CMAKE_CURRENT_BINARY_DIR}/${folder}/${source} PARENT_SCOPE)
endfunction()

# A copy in which every change of state is seen (swarm_watch.h).
function(weir_watched_source source)
  weir_read_source(${source} watched text copy)
  set(before "${text}")
  string(REGEX REPLACE "phase_ = ([^;=]+);" "phase_ = ::weir::sim::watched_phase<Phase>(phase_, \\1);" text "${text}")
  string(REGEX REPLACE "(\n[a-z][^\n]* Exchange::(on_[a-z_]+|start|abandon)\\([^{;]*\\) {)"
         "\\1\n  const ::weir::sim::ExchangeEvent watched_event(\"\\2\");" text "${text}")
  string(REPLACE "machine_.on_" "::weir::sim::WatchedPoolMachine(machine_).on_" text "${text}")
  string(REPLACE "gateway_.addresses, response_parser_)"
         "gateway_.addresses, response_parser_, ::weir::sim::pool_machine())" text "${text}")
  if("${text}" STREQUAL "${before}")
    message(FATAL_ERROR "tests/sim/swarm.cmake: nothing to watch in ${source}")
  endif()
  file(CONFIGURE OUTPUT ${copy} CONTENT "#include \"tests/sim/swarm_watch.h\"\n${text}" @ONLY)
  set(watched_sources ${watched_sources} ${copy} PARENT_SCOPE)
endfunction()

# A program with one bug: `old` stands exactly once in `source`, and becomes `new`. Its test runs seeds from the first on
# until one finds it; the rarest takes some 300.
function(weir_mutant name source old new)
  weir_read_source(${source} mutants/${name} text copy)
  string(FIND "${text}" "${old}" first)
  string(FIND "${text}" "${old}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    set(problem "tests/sim/swarm.cmake: mutant ${name}: not once in ${source}: ${old}")
    message(WARNING "${problem}")
    add_test(NAME "Swarm.FindsThePlantedBug_${name}" COMMAND ${CMAKE_COMMAND} -E cat "${problem}")
    return()
  endif()
  string(REPLACE "${old}" "${new}" text "${text}")
  file(CONFIGURE OUTPUT ${copy} CONTENT "${text}" @ONLY)
  add_executable(sim_mutant_${name} sim/swarm_main.cc ${copy})
  target_compile_options(sim_mutant_${name} PRIVATE -Wno-error)
  target_link_libraries(sim_mutant_${name} PRIVATE weir_swarm weir_sim)
  add_test(NAME "Swarm.FindsThePlantedBug_${name}" COMMAND sim_mutant_${name} --seeds 10000)
  set_tests_properties("Swarm.FindsThePlantedBug_${name}" PROPERTIES
                       PASS_REGULAR_EXPRESSION "replay: sim_swarm --seed" TIMEOUT 120)
endfunction()

foreach(source exchange exchange_answer shard)
  weir_watched_source(routing/exchange/${source}.cc)
endforeach()
weir_watched_source(net/upstream_pool.cc)
add_library(weir_watched OBJECT ${watched_sources})
target_link_libraries(weir_watched PUBLIC weir_swarm)
add_executable(sim_swarm sim/swarm_main.cc)
target_link_libraries(sim_swarm PRIVATE weir_watched weir_swarm weir_sim)
add_executable(swarm_tests sim/swarm_test.cc)
target_link_libraries(swarm_tests PRIVATE weir_watched weir_swarm weir_sim GTest::gtest_main)
weir_register_tests(swarm_tests)

# Thousands of seeds: too many for a sanitized or emulated run.
if(NOT WEIR_SANITIZE AND NOT WEIR_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  weir_mutant(missed_cancel net/connection.cc
              "  starved_task_.unlink();\n  if (receive_.armed()) loop_.io().cancel(receive_);\n  if (send_.armed())"
              "  starved_task_.unlink();\n  if (send_.armed())")
  weir_mutant(missed_abandon routing/exchange/exchange.cc
              "  if (waiting()) pool_->abandon(*this);\n" "")
  weir_mutant(double_settle routing/exchange/exchange_answer.cc
              "  shard_.settle(record_);\n"
              "  shard_.settle(record_);\n  if (record_.client_gone && record_.attempts > 1) shard_.settle(record_);\n")
  weir_mutant(double_charge routing/guard/admission.cc
              "    routing::settle(line, spec, worst_, cost_nano_usd);\n"
              "    routing::settle(line, spec, worst_, cost_nano_usd);\n    if (part_count_ > 2) routing::settle(line, spec, 0, cost_nano_usd);\n")
  weir_mutant(torn_swap routing/exchange/shard.cc
              "    for (auto& pools : self.pool_of_provider_) pools.clear();\n" "")
  weir_mutant(torn_exchange routing/exchange/shard.cc
              "  if (&of != &table()) return find_pool(of, provider, use);\n" "")
  weir_mutant(off_by_one routing/guard/admission.cc
              "(std::memory_order_relaxed) <= specs.concurrency" "(std::memory_order_relaxed) <= specs.concurrency + 1")
  weir_mutant(off_by_one_in_all routing/guard/admission.cc
              "!count_one(pilot.line->total, pilot.limits.total)" "!count_one(pilot.line->total, pilot.limits.total + 1)")
  weir_mutant(early_free routing/exchange/exchange_answer.cc
              "return send_downstream(piece.payload());"
              "return send_downstream(core::Slice(piece.payload().mutable_data(), piece.payload_size, nullptr));")
  weir_mutant(leaked_place routing/guard/admission.cc
              "  if (std::exchange(part.counted, false)) release_one(part.line->in_flight);\n" "")
  weir_mutant(clean_cut routing/exchange/exchange_answer.cc
              "  session_.cut();\n"
              "  send_downstream(core::Slice::of_static(net::kLastChunk));\n  session_.end_response();\n")
  weir_mutant(wrong_clock routing/exchange/data_plane.cc
              "  input.wall_now_ns = shard_.loop().wall_now_ns();\n" "")
endif()
